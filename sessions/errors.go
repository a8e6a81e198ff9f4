package sessions

import (
	"errors"
	"fmt"
	"reflect"
	"time"
)

// The errors of this package form a tree. Use [errors.Is] with a branch if that is all
// that matters, and with a leaf if the reason matters.
var (
	// ErrUnauthenticated is the branch of all missing, wrong and dead credentials.
	ErrUnauthenticated = newError(nil, "sessions: unauthenticated")

	// ErrNoCredentials means that the request carries no credentials.
	ErrNoCredentials = newError(ErrUnauthenticated, "no credentials")
	// ErrInvalidToken means that the text is not an access token of this Manager.
	ErrInvalidToken = newError(ErrUnauthenticated, "invalid access token")
	// ErrExpired means that the access token has expired, or that its session is over.
	// Such errors are [*ExpiredError].
	ErrExpired = newError(ErrUnauthenticated, "access token expired")
	// ErrInvalidHandoff means that a hand-off code is malformed, unknown or late, or was
	// redeemed before. In the last case the session has ended.
	ErrInvalidHandoff = newError(ErrUnauthenticated, "invalid hand-off code")

	// ErrRefused is the branch of all refused refresh tokens: the user must sign in again.
	//
	// Three of its reasons are answers of the host's hooks, and have their sentinels. Such
	// an error matches ErrRefused, and also ErrUserNotFound if the user is gone,
	// ErrUserDisabled if the user may not have sessions now, or ErrImpersonationNotAllowed
	// if the actor may no longer impersonate the user. In the first and in the third case
	// the session has ended. In the second it continues.
	ErrRefused = newError(ErrUnauthenticated, "refresh token refused")
	// ErrMalformed means that the text is not a refresh token of this Manager, or that the
	// secret that made it is not in [Config.Secrets] any more.
	ErrMalformed = newError(ErrRefused, "malformed")
	// ErrUnknownSession means that the session does not exist, or no longer exists.
	ErrUnknownSession = newError(ErrRefused, "unknown session")
	// ErrSessionEnded means that the session was ended before.
	ErrSessionEnded = newError(ErrRefused, "session ended")
	// ErrSessionExpired means that the session has expired. An impersonation counts as
	// expired in its last 30 s.
	ErrSessionExpired = newError(ErrRefused, "session expired")
	// ErrSessionIdle means that the session was not refreshed for longer than allowed.
	ErrSessionIdle = newError(ErrRefused, "session idle")
	// ErrReplay means that the token was spent before. This call has ended the session.
	ErrReplay = newError(ErrRefused, "replay")
	// ErrRecoveryLimit means that too many replies were lost. This call has ended the
	// session.
	ErrRecoveryLimit = newError(ErrRefused, "recovery limit")
	// ErrParentEnded means that the parent of an impersonation is over. The parent is the
	// session that the actor acts from.
	ErrParentEnded = newError(ErrRefused, "parent session ended")

	// ErrUserNotFound means that there is no such user. [Config.Users] returns it.
	ErrUserNotFound = newError(nil, "sessions: user not found")
	// ErrUserDisabled means that the user exists and may not have sessions now.
	// [Config.Users] returns it. Access tokens that were issued before are accepted until
	// they expire, unless the host calls [Manager.EndMany].
	ErrUserDisabled = newError(nil, "sessions: user disabled")
	// ErrImpersonationNotAllowed means that the actor may not impersonate the user.
	// [Config.MayImpersonate] returns it, itself or wrapped. Create returns it also if the
	// actor is the user, and if the caller is an impersonation.
	ErrImpersonationNotAllowed = newError(nil, "sessions: impersonation not allowed")

	// ErrInvalidParams means that the caller's input is malformed. The error names every
	// field that is.
	ErrInvalidParams = newError(nil, "sessions: invalid parameters")
	// ErrNotFound means that the session does not exist, or that the caller may not see it.
	ErrNotFound = newError(nil, "sessions: not found")
	// ErrConflict means that a session with this id exists already. Stores return it.
	ErrConflict = newError(nil, "sessions: conflict")
	// ErrCrossOrigin means that a page of another origin has sent a request of an unsafe
	// method that only cookies authenticate.
	ErrCrossOrigin = newError(nil, "sessions: cross-origin request")
	// ErrUnavailable means that the answer is unknown, because the store, a hook of the
	// host or the signer failed. Trying again may help. If a refresh fails with it, the
	// refresh token still works, but with [NoRecovery] only for [Rotation.Overlap]. The
	// error wraps the cause: errors.Is finds context errors and the host's own errors in
	// it, but no other error of this package. So a hook that fails with ErrNotFound, for
	// instance, does not make the answer a 404.
	ErrUnavailable = newError(nil, "sessions: temporarily unavailable")

	// errReplaced means that another session of the same browser took its place.
	errReplaced = newError(ErrSessionEnded, "replaced")

	errUserGone    = &sentinel{ErrRefused, ErrUserNotFound, ErrRefused.Error() + ": user gone"}
	errUserRefused = &sentinel{ErrRefused, ErrUserDisabled, ErrRefused.Error() + ": user disabled"}
	errNotAllowed  = &sentinel{
		ErrRefused, ErrImpersonationNotAllowed, ErrRefused.Error() + ": impersonation no longer allowed",
	}
)

// ExpiredError is an [ErrExpired] with the content of the access token.
type ExpiredError struct {
	// ExpiredAt is when the token expired, or when its session ended.
	ExpiredAt time.Time
	// UserID and SessionID are those of the token.
	UserID, SessionID string
}

func (e *ExpiredError) Error() string { return ErrExpired.Error() }

// Unwrap returns [ErrExpired].
func (e *ExpiredError) Unwrap() error { return ErrExpired }

func (*ExpiredError) ofSessions() {}

// ownError is any error of this package from which an answer to a caller is made.
type ownError interface{ ofSessions() }

// sentinel is an error that callers compare with.
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
	return s.also != nil && target == s.also // errors.Is asks about this link only
}

func (*sentinel) ofSessions() {}

// unavailable wraps an error of the store, a hook or the signer.
func unavailable(doing string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, doing, &foreignError{err})
}

// isAnswer reports whether a hook has given one of its documented answers. A refused refresh is not one. It matches the
// answer of the hook that caused it, and if a hook of another Manager passes it on, that hook has not answered.
func isAnswer(err, answer error) bool {
	return errors.Is(err, answer) &&
		!errors.Is(err, errUserGone) && !errors.Is(err, errUserRefused) && !errors.Is(err, errNotAllowed)
}

// answered wraps an error of a hook that is one of its documented answers.
func answered(answer, err error) error {
	if err == answer { //nolint:errorlint // identity: there is nothing more to show
		return answer
	}
	return fmt.Errorf("%w: %w", answer, &foreignError{err})
}

// foreignError hides errors of this package in an error of the host. A hook may call this
// package itself, or a service that does, and pass on the error, such as ErrInvalidToken or
// an APIError with status 403. Here that would become the answer to somebody else.
// foreignError has no Unwrap; errors.Is and errors.As find the host's own errors all the
// same.
type foreignError struct{ err error }

func (e *foreignError) Error() string { return e.err.Error() }

func (e *foreignError) Is(target error) bool {
	_, own := target.(ownError) // the target itself, not an error that it wraps
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
