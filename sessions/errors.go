package sessions

import (
	"errors"
	"fmt"
	"reflect"
	"time"
)

// The errors of this package form a tree. Ask with [errors.Is] for a branch where
// that is all that matters, for a leaf where the cause does.
var (
	// ErrUnauthenticated is the branch of all missing, wrong and dead credentials.
	ErrUnauthenticated = newError(nil, "sessions: unauthenticated")
	// ErrInvalidParams: the caller's input is malformed; the error names the field.
	ErrInvalidParams = newError(nil, "sessions: invalid parameters")
	// ErrNotFound: no such session, or not the caller's to see.
	ErrNotFound = newError(nil, "sessions: not found")
	// ErrConflict: a session with this id exists already.
	ErrConflict = newError(nil, "sessions: conflict")
	// ErrUnavailable: the answer is unknown, because the store, a hook of the host
	// or the signer failed. Trying again may help; a refresh token that led here
	// still works, but under [NoRecovery] only for [Rotation.Overlap]. The error wraps
	// the cause, of which context errors and the host's own can be found, and none of
	// this package: what a hook wraps of ours is not our answer to the caller.
	ErrUnavailable = newError(nil, "sessions: temporarily unavailable")
	// ErrImpersonationNotAllowed: [Config.MayImpersonate] answers it, itself or
	// wrapped, for "no"; and so does create for oneself, and for a caller that is
	// an impersonation.
	ErrImpersonationNotAllowed = newError(nil, "sessions: impersonation not allowed")
	// ErrCrossOrigin: a request of an unsafe method that a page of another origin has
	// sent, and that only cookies authenticate.
	ErrCrossOrigin = newError(nil, "sessions: cross-origin request")
)

// Leaves of ErrUnauthenticated.
var (
	// ErrNoCredentials: the request carries none.
	ErrNoCredentials = newError(ErrUnauthenticated, "no credentials")
	// ErrInvalidToken: not an access token of ours.
	ErrInvalidToken = newError(ErrUnauthenticated, "invalid access token")
	// ErrExpired: an access token of ours that has expired, or whose session is
	// over. Errors of this kind are [*ExpiredError].
	ErrExpired = newError(ErrUnauthenticated, "access token expired")
	// ErrInvalidHandoff: a hand-off code that is malformed, unknown or late, or
	// that was redeemed before; then the session has ended.
	ErrInvalidHandoff = newError(ErrUnauthenticated, "invalid hand-off code")
	// ErrRefused is the branch of all refused refresh tokens: sign in again.
	ErrRefused = newError(ErrUnauthenticated, "refresh token refused")
)

// Leaves of ErrRefused, one for each reason. Three reasons are answers of the host, and
// have the host's sentinels: such an error matches ErrRefused, and also [ErrUserNotFound]
// if the user is gone, [ErrUserDisabled] if the user may not have sessions now, or
// [ErrImpersonationNotAllowed] if the actor may no longer impersonate the user. The first
// and the last have ended the session, the second has kept it.
var (
	// ErrMalformed: not a refresh token of this Manager, or one of a secret that was dropped.
	ErrMalformed = newError(ErrRefused, "malformed")
	// ErrUnknownSession: the session does not exist, or no longer.
	ErrUnknownSession = newError(ErrRefused, "unknown session")
	// ErrSessionEnded: the session was ended before.
	ErrSessionEnded = newError(ErrRefused, "session ended")
	// ErrSessionExpired: the session reached its end; for an impersonation its last 30 s.
	ErrSessionExpired = newError(ErrRefused, "session expired")
	// ErrSessionIdle: the session was not refreshed for longer than allowed.
	ErrSessionIdle = newError(ErrRefused, "session idle")
	// ErrReplay: the token was spent before; this call has ended the session.
	ErrReplay = newError(ErrRefused, "replay")
	// ErrRecoveryLimit: too many replies were lost; this call has ended the session.
	ErrRecoveryLimit = newError(ErrRefused, "recovery limit")
	// ErrParentEnded: the parent of an impersonation, which is the session of its actor, is over.
	ErrParentEnded = newError(ErrRefused, "actor's session ended")

	// errReplaced: by another session of the same browser.
	errReplaced = newError(ErrSessionEnded, "replaced")

	errUserGone    = &sentinel{ErrRefused, ErrUserNotFound, ErrRefused.Error() + ": user gone"}
	errUserRefused = &sentinel{ErrRefused, ErrUserDisabled, ErrRefused.Error() + ": user disabled"}
	errNotAllowed  = &sentinel{
		ErrRefused, ErrImpersonationNotAllowed, ErrRefused.Error() + ": impersonation no longer allowed",
	}
)

// What [Config.Users] answers with. Any other error means that it does not know.
var (
	// ErrUserNotFound: there is no such user.
	ErrUserNotFound = newError(nil, "sessions: user not found")
	// ErrUserDisabled: the user exists and may not have sessions now. Access tokens that
	// the user has already work until they expire, unless the host calls [Manager.EndMany].
	ErrUserDisabled = newError(nil, "sessions: user disabled")
)

// ExpiredError is an [ErrExpired] with what the access token said.
type ExpiredError struct {
	// ExpiredAt is when the token expired, or when its session ended.
	ExpiredAt time.Time
	// UserID and SessionID are of the token.
	UserID, SessionID string
}

func (e *ExpiredError) Error() string { return ErrExpired.Error() }

// Unwrap makes an ExpiredError an [ErrExpired].
func (e *ExpiredError) Unwrap() error { return ErrExpired }

func (*ExpiredError) ofSessions() {}

// ownError is any error of this package that an answer to a caller is made of.
type ownError interface{ ofSessions() }

// sentinel is an error that callers ask for.
type sentinel struct {
	branch error
	also   error // another sentinel that it matches, or nil
	text   string
}

func newError(branch error, text string) error {
	if branch != nil {
		text = branch.Error() + ": " + text
	}
	return &sentinel{branch, nil, text}
}

func (s *sentinel) Error() string { return s.text }
func (s *sentinel) Unwrap() error { return s.branch }

func (s *sentinel) Is(target error) bool {
	return s.also != nil && target == s.also
}                             //nolint:errorlint // as errors.Is asks
func (*sentinel) ofSessions() {}

// unavailable wraps what went wrong in the store, a hook or the signer.
func unavailable(doing string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, doing, &foreignError{err})
}

// answered wraps what a hook said, by which of its documented answers it is.
func answered(answer, err error) error {
	if err == answer { //nolint:errorlint // identity: there is nothing more to show
		return answer
	}
	return fmt.Errorf("%w: %w", answer, &foreignError{err})
}

// foreignError hides errors of this package in an error of the host. A policy that
// asks us, or a service that does, passes on what we said to it, such as ErrInvalidToken
// or an APIError with status 403. Here that would become our answer to somebody
// else. It has no Unwrap; what the host itself can look for is found all the same.
type foreignError struct{ err error }

func (e *foreignError) Error() string { return e.err.Error() }

func (e *foreignError) Is(target error) bool {
	_, own := target.(ownError) // the target itself, not what it wraps
	return !own && errors.Is(e.err, target)
}

func (e *foreignError) As(target any) bool {
	found := reflect.ValueOf(target).Elem()
	before := reflect.New(found.Type()).Elem()
	before.Set(found)
	if !errors.As(e.err, target) {
		return false
	}
	if _, own := reflect.TypeAssert[ownError](found); own {
		found.Set(before)
		return false
	}
	return true
}

// wiringError is a mistake in how the host has wired its routes. The answer shows its text, for the host's
// developer has to read it, and it holds nothing of the request.
type wiringError struct{ text string }

func miswired(text string) error { return &wiringError{text} }

func (e *wiringError) Error() string { return "sessions: " + e.text }
func (*wiringError) ofSessions()     {}

func (e *wiringError) kind() string { return e.text }
