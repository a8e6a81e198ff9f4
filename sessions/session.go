package sessions

// Tested in manager_test.go and in package storetest.

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// AccessType is the kind of rights that a request has.
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

// Session is one sign-in of one user on one client, and one row of the store. It is a plain value without credentials.
// All times are UTC with microsecond resolution.
type Session struct {
	// ID is a UUID version 7 in its canonical spelling.
	ID string
	// UserID is the host's own id of the user.
	UserID string
	// CreatedAt is when the session was created.
	CreatedAt time.Time
	// LastUsedAt is when the session was last refreshed, and CreatedAt before that. It never moves back.
	LastUsedAt time.Time
	// ExpiresAt is when the session ends at the latest. No refresh moves it.
	ExpiresAt time.Time
	// AuthTime is when the user authenticated; zero for an impersonation.
	AuthTime time.Time
	// CreatedBy is the name of the server key that created the session, or [CreateParams.By] of an in-process caller.
	CreatedBy string

	// Impersonation is true if somebody else acts as the user.
	Impersonation bool
	// Actor is who acts in an impersonation: a user id, or the name of the server key if no user was named.
	Actor string
	// ParentSessionID is the actor's own session, if a user impersonates under [Config.MayImpersonate]. The
	// impersonation is over when its parent ends or expires.
	ParentSessionID string
	// Reason is the free text that the caller gave at the start of an impersonation.
	Reason string

	// Client is where the session was last used from.
	Client Client

	// HandoffHash is the SHA-256, in hexadecimal, of the one-time code that this session was handed off with; empty
	// if it was not handed off.
	HandoffHash string
	// HandoffExpiresAt is when that code stops working.
	HandoffExpiresAt time.Time

	// EndedAt is when the session was ended; zero while it lives.
	EndedAt time.Time
	// EndReason is why the session was ended.
	EndReason EndReason
	// EndedBy is who ended the session: a user id, or the name of a server key. It is empty if the refresh protocol
	// ended the session, or the revocation feed after a crash.
	EndedBy string
}

// Client describes the end user's connection, so that people recognise a session. Both fields may be empty.
type Client struct {
	// IP is an address without a port.
	IP string
	// UserAgent is the User-Agent header, cut at 255 bytes.
	UserAgent string
}

// EndReason is why a session was ended. It stays on the row.
type EndReason string

// The reasons for the end of a session.
const (
	// EndSignedOut: the user signed out of this session.
	EndSignedOut EndReason = "signed_out"
	// EndRevoked: the user or a trusted caller ended the session, by id or together with others, or with the token
	// revocation endpoint (RFC 7009).
	EndRevoked EndReason = "revoked"
	// EndReplay: a spent refresh token was presented, so two holders exist.
	EndReplay EndReason = "replay"
	// EndRecoveryLimit: more replies in a row were lost than [Rotation.MaxRecoveries] allows.
	EndRecoveryLimit EndReason = "recovery_limit"
	// EndUserGone: [Config.Users] no longer knows the user.
	EndUserGone EndReason = "user_gone"
	// EndParentEnded: the parent of the session is over.
	EndParentEnded EndReason = "parent_ended"
	// EndNotAllowed: the actor may no longer impersonate this user.
	EndNotAllowed EndReason = "not_allowed"
	// EndReplaced: another session took its place; see [Manager.Reauthenticate]. Late requests of a browser with the
	// cookies of the old session do not clear those of the new one.
	EndReplaced EndReason = "replaced"
	// EndHandoffReplay: the hand-off code was redeemed a second time (RFC 6749, section 4.1.2).
	EndHandoffReplay EndReason = "handoff_replay"
)

// Moment is the time at which a store judges whether a session is live: the session was not ended, Now is before its
// ExpiresAt, and its LastUsedAt is after IdleCutoff.
type Moment struct {
	// Now is the application's clock, in UTC.
	Now time.Time
	// IdleCutoff is Now minus the idle timeout; zero if there is no idle timeout.
	IdleCutoff time.Time
}

// Live reports whether s can be used at m, judged by its own row: it has not ended, it has not expired, and it is not
// idle. If s has a parent, that must have neither ended nor expired either; see [Store].
func (s Session) Live(m Moment) bool { return s.state(m) == stateLive }

// state is one of these. All except stateLive are final.
type state int

const (
	stateLive state = iota
	stateEnded
	stateExpired
	stateIdle
)

// state returns the state of s at m. Ended takes precedence over expired, and expired over idle.
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

// Identity is who makes a request. A handler reads it with [FromContext].
type Identity struct {
	// Access is the kind of rights that the request has.
	Access AccessType
	// KeyName is the name of the server or admin key; empty for access tokens.
	KeyName string
	// UserID is the user of the access token; empty if a key came without one.
	UserID string
	// SessionID is the session of the access token.
	SessionID string
	// Impersonation is true if somebody else acts as the user.
	Impersonation bool
	// Actor is who acts in an impersonation (RFC 8693, section 4.1).
	Actor string
	// AuthTime is when the user authenticated; zero for an impersonation.
	AuthTime time.Time
	// ExpiresAt is when the access token expires.
	ExpiresAt time.Time
	// SessionExpiresAt is when the session expires, in whole seconds.
	SessionExpiresAt time.Time
}

// identityOf returns the identity in the tokens of s, without their times.
func identityOf(s Session) Identity {
	return Identity{
		Access: AccessClient, UserID: s.UserID, SessionID: s.ID, Impersonation: s.Impersonation, Actor: s.Actor,
	}
}

// HasUser reports whether an access token came with the request, alone or next to a key.
func (id Identity) HasUser() bool { return id.UserID != "" }

// Trusted reports whether a server or admin key came with the request.
func (id Identity) Trusted() bool { return id.Access == AccessServer || id.Access == AccessAdmin }

// Grant holds the tokens of a session, as [Manager.Create], [Manager.Refresh] and [Manager.Redeem] return them.
type Grant struct {
	// Session is the session as it is now.
	Session Session
	// Handoff is a one-time code for [Manager.Redeem], which then returns the tokens. If [CreateParams.Handoff] was
	// set, the grant has this code and no tokens.
	Handoff Token
	// RefreshToken is the credential for the next refresh. Store it in place of the one before.
	RefreshToken Token
	// AccessToken is a signed JWT for this session.
	AccessToken Token
	// AccessTokenIssuedAt and AccessTokenExpiresAt are the iat and exp of the access token.
	AccessTokenIssuedAt, AccessTokenExpiresAt time.Time
}

// User is one of the host's users, as [Config.Users] returns it.
type User struct {
	// ID is the host's own id of the user, in the host's spelling. If the lookup ignores case or accents, return
	// the spelling of the host's table and not the one that was requested. Required.
	ID string
	// Name is what the user is called. The access token carries up to 255 bytes of it. Leave Name and Email empty to
	// keep them out of the token.
	Name string
	// Email is the user's primary address. The access token carries it if it has at most 320 bytes. A longer one
	// is left out and not cut, because its beginning could be somebody else's address.
	Email string
	// EmailVerified is true if the host has verified Email.
	EmailVerified bool
	// SignedUpAt is when the account was created. The access token carries it only if [Config.ProjectID] is set.
	SignedUpAt time.Time
}

// The limits of texts from callers, in bytes of UTF-8.
const (
	maxUserID    = 255
	maxReason    = 500
	maxName      = 255
	maxCause     = 64 // of an EndReason
	maxUserAgent = 255
	maxIP        = 64
)

// unprintable reports whether r is a control or format character, or separates lines or paragraphs. Such characters
// break logs and headers, and hide or reorder text: a U+202E in a reason makes its reader see another reason.
func unprintable(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }

// joins reports whether r is a zero-width joiner or non-joiner, which Persian, Indic scripts and emoji need.
func joins(r rune) bool { return r == '\u200c' || r == '\u200d' }

// validText reports whether s is UTF-8 of at most limit bytes without control or format characters.
func validText(s string, limit int) bool {
	return len(s) <= limit && utf8.ValidString(s) && !strings.ContainsFunc(s, unprintable)
}

// validReason is validText for prose, which may have joiners.
func validReason(s string) bool {
	return len(s) <= maxReason && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return unprintable(r) && !joins(r) })
}

// visible reports whether s has something to read: a letter, a digit, a mark of punctuation or a symbol, unless it is
// drawn as nothing.
func visible(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) &&
			!unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) && r != '\u2800' // a Braille cell without dots
	})
}

func validUserID(s string) bool { return s != "" && validText(s, maxUserID) }

// validSessionID reports whether s is a UUID in its canonical spelling. The parser of google/uuid also accepts
// urn:uuid:, braces, upper case and forms without dashes, which would give one session several names.
func validSessionID(s string) bool {
	u, err := uuid.Parse(s)
	return err == nil && u.String() == s
}

// clipText returns s as it can be stored: UTF-8 without control or format characters, cut at a rune boundary.
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
