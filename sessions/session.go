package sessions

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// AccessType says with what rights a request is made.
type AccessType string

// The access types, from least to most.
const (
	// AccessClient is a user with an access token.
	AccessClient AccessType = "client"
	// AccessServer is a trusted backend with a server key (ssk_…).
	AccessServer AccessType = "server"
	// AccessAdmin is a trusted backend with an admin key (sak_…).
	AccessAdmin AccessType = "admin"
)

// Session is one sign-in of one user on one client: one row of the store.
//
// It is a plain value; nothing in it can be used as a credential. All times are
// UTC with microsecond resolution, the zero time means "none".
type Session struct {
	// ID is a UUID version 7 in its canonical spelling.
	ID string
	// UserID is the host's own id of the user.
	UserID string
	// CreatedAt is when the session was created.
	CreatedAt time.Time
	// LastUsedAt is when the session was last refreshed, at first CreatedAt. It
	// never moves back.
	LastUsedAt time.Time
	// ExpiresAt is when the session ends whatever happens. No refresh moves it.
	ExpiresAt time.Time
	// AuthTime is when the user authenticated. An impersonation has none.
	AuthTime time.Time
	// CreatedBy is the name of the server key, or what an in-process caller gave
	// as [CreateParams.By].
	CreatedBy string

	// Impersonation is true when somebody else acts as the user.
	Impersonation bool
	// Actor is who stands behind an impersonation: a user id, or the name of the
	// server key where no user was named.
	Actor string
	// ParentSessionID is the session of the actor, where a user impersonates under
	// [Config.MayImpersonate]. The impersonation is over when that one ends or expires.
	ParentSessionID string
	// Reason is the free text that the caller gave at create.
	Reason string

	// Client is where the session was last used from.
	Client Client

	// HandoffHash is the SHA-256, in hexadecimal, of the one-time code that this
	// session was handed off with; empty where it was not.
	HandoffHash string
	// HandoffExpiresAt is when that code stops working.
	HandoffExpiresAt time.Time

	// EndedAt is when the session was ended; the zero time while it lives.
	EndedAt time.Time
	// EndReason says why the session was ended.
	EndReason EndReason
	// EndedBy says by whom: a user id, the name of a server key, or "" if the refresh
	// protocol ended it, or the revocation feed what a crash had left.
	EndedBy string
}

// Client describes the end user's connection, for people to recognise a
// session by. Both fields may be empty.
type Client struct {
	// IP is an address without a port.
	IP string
	// UserAgent is the User-Agent header, cut at 255 bytes.
	UserAgent string
}

// EndReason says why a session ended; it stays on the row.
type EndReason string

// The reasons for the end of a session.
const (
	// EndSignedOut: the user signed out of this session.
	EndSignedOut EndReason = "signed_out"
	// EndRevoked: ended by id or together with others, by the user or by a
	// trusted caller; also by the token revocation endpoint (RFC 7009).
	EndRevoked EndReason = "revoked"
	// EndReplay: a spent refresh token was presented, so two holders exist.
	EndReplay EndReason = "replay"
	// EndRecoveryLimit: more lost replies in a row than [Rotation.MaxRecoveries].
	EndRecoveryLimit EndReason = "recovery_limit"
	// EndUserGone: [Config.Users] no longer knows the user.
	EndUserGone EndReason = "user_gone"
	// EndParentEnded: the actor's own session is over.
	EndParentEnded EndReason = "parent_ended"
	// EndNotAllowed: the actor may no longer impersonate this user.
	EndNotAllowed EndReason = "not_allowed"
	// EndReplaced: another session took its place, see [Manager.Reauthenticate]. A
	// browser's late requests with its cookies do not clear those of the new one.
	EndReplaced EndReason = "replaced"
	// EndHandoffReplay: a hand-off code was redeemed a second time (RFC 6749,
	// section 4.1.2).
	EndHandoffReplay EndReason = "handoff_replay"
)

// Moment is what a store judges liveness by. A session is live when it was not
// ended, Now is before its ExpiresAt, and its LastUsedAt is after IdleCutoff.
type Moment struct {
	// Now is the application's clock, in UTC.
	Now time.Time
	// IdleCutoff is Now minus the idle timeout; the zero time where there is none.
	IdleCutoff time.Time
}

// Live reports whether s can be used at m, by its own row: it has not ended, it has not
// expired, and it is not idle. A session with a ParentSessionID also needs its parent to
// have neither ended nor expired, see [Store].
func (s Session) Live(m Moment) bool { return s.state(m) == stateLive }

// state is one of these. All but stateLive are final.
type state int

const (
	stateLive state = iota
	stateEnded
	stateExpired
	stateIdle
)

// state judges s at m: ended comes before expired, expired before idle.
func (s Session) state(m Moment) state {
	switch {
	case !s.EndedAt.IsZero():
		return stateEnded
	case !m.Now.Before(s.ExpiresAt):
		return stateExpired
	case s.idle(m):
		return stateIdle
	default:
		return stateLive
	}
}

func (s Session) idle(m Moment) bool {
	return !m.IdleCutoff.IsZero() && !s.LastUsedAt.After(m.IdleCutoff)
}

// Identity says who makes a request. A handler reads it with [FromContext].
type Identity struct {
	// Access says with what rights.
	Access AccessType
	// KeyName names the server or admin key; empty for access tokens.
	KeyName string
	// UserID is the user of the access token; empty where a key came without one.
	UserID string
	// SessionID is the session of the access token.
	SessionID string
	// Impersonation is true when somebody else acts as the user.
	Impersonation bool
	// Actor is who acts, where Impersonation is true (RFC 8693, section 4.1).
	Actor string
	// AuthTime is when the user authenticated; zero for impersonations.
	AuthTime time.Time
	// ExpiresAt is when the access token expires.
	ExpiresAt time.Time
	// SessionExpiresAt is when the session expires, in whole seconds.
	SessionExpiresAt time.Time
}

// identityOf is what the tokens of s say, without their times.
func identityOf(s Session) Identity {
	return Identity{
		Access: AccessClient, UserID: s.UserID, SessionID: s.ID, Impersonation: s.Impersonation, Actor: s.Actor,
	}
}

// HasUser reports whether the request speaks for a user: an access token came
// with it, alone or beside a key.
func (id Identity) HasUser() bool { return id.UserID != "" }

// Trusted reports whether a server or admin key came with the request.
func (id Identity) Trusted() bool { return id.Access == AccessServer || id.Access == AccessAdmin }

// Grant is what create and refresh return.
type Grant struct {
	// Session is the session as it is now.
	Session Session
	// Handoff is a one-time code for [Manager.Redeem], which then returns the
	// tokens: set, alone, where [CreateParams.Handoff] asked for it.
	Handoff Token
	// RefreshToken buys the next access token. Store it in place of the one
	// before.
	RefreshToken Token
	// AccessToken is a signed JWT for this session.
	AccessToken Token
	// AccessTokenIssuedAt and AccessTokenExpiresAt are its iat and exp.
	AccessTokenIssuedAt, AccessTokenExpiresAt time.Time
}

// User is what the host says about one of its users. Empty fields other than ID
// become null in the access token.
type User struct {
	// ID is the host's own id of the user, as the host keeps it: a lookup that ignores
	// case or accents must not answer with the spelling that it was asked for.
	// Required.
	ID string
	// Name is what the user is called. The access token carries up to 255 bytes of it.
	// Leave Name and Email empty to keep them out of the token.
	Name string
	// Email is the user's primary address. The access token carries it unless it has more
	// than 320 bytes: a part of it would be somebody else's.
	Email string
	// EmailVerified says whether the host has proof of it.
	EmailVerified bool
	// SignedUpAt is when the account was made. Only a token with [Config.ProjectID]
	// carries it.
	SignedUpAt time.Time
}

// The limits of what a caller may say, in bytes of UTF-8.
const (
	maxUserID    = 255
	maxReason    = 500
	maxName      = 255
	maxCause     = 64 // of an EndReason
	maxUserAgent = 255
	maxIP        = 64
)

// unprintable reports whether r is a control or format character, or separates lines or
// paragraphs. Such characters break logs and headers, and hide or reorder text: a
// U+202E in a reason makes the person who reads it see another one.
func unprintable(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }

// joins reports whether r is a zero-width joiner or non-joiner, which Persian, Indic
// scripts and emoji are spelled with.
func joins(r rune) bool { return r == '\u200c' || r == '\u200d' }

// validText reports whether s is UTF-8 of at most limit bytes without control or format
// characters.
func validText(s string, limit int) bool {
	return len(s) <= limit && utf8.ValidString(s) && !strings.ContainsFunc(s, unprintable)
}

// validReason is validText for prose, in which joiners have a place.
func validReason(s string) bool {
	return len(s) <= maxReason && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return unprintable(r) && !joins(r) })
}

// visible reports whether s has something to read in it: a letter, a digit, a mark of
// punctuation or a symbol, and not one that is drawn as nothing.
func visible(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) &&
			!unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) && r != '\u2800' // a Braille cell without dots
	})
}

func validUserID(s string) bool { return s != "" && validText(s, maxUserID) }

// validSessionID accepts the canonical spelling only. The parser of google/uuid
// also takes urn:uuid:, braces, upper case and dashless forms, which would give
// one session several names.
func validSessionID(s string) bool {
	u, err := uuid.Parse(s)
	return err == nil && u.String() == s
}

// clipText makes what a client says about itself storable: UTF-8 without control or
// format characters, cut at a rune boundary.
func clipText(s string, limit int) string {
	out := make([]byte, 0, min(len(s), limit))
	for _, r := range s {
		if r == utf8.RuneError || unprintable(r) {
			continue
		}
		if len(out)+utf8.RuneLen(r) > limit {
			break
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}
