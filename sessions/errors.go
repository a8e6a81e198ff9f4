package sessions

import (
	"errors"
	"fmt"
	"time"
)

// The errors of this package form a tree. Ask with [errors.Is] for a branch where
// that is all that matters, for a leaf where the cause does.
var (
	// ErrUnauthenticated is the branch of all missing, wrong and dead credentials.
	ErrUnauthenticated = errors.New("sessions: unauthenticated")
	// ErrInvalidParams: the caller's input is malformed; the error names the field.
	ErrInvalidParams = errors.New("sessions: invalid parameters")
	// ErrNotFound: no such session, or not the caller's to see.
	ErrNotFound = errors.New("sessions: not found")
	// ErrConflict: a session with this id exists already.
	ErrConflict = errors.New("sessions: conflict")
	// ErrUnavailable: it could not be told, because the store, a hook of the host
	// or the signer failed. Trying again may help; a refresh token that led here
	// still works, but under [NoRecovery] only for [Rotation.Overlap].
	ErrUnavailable = errors.New("sessions: temporarily unavailable")
	// ErrImpersonationNotAllowed: [Config.MayImpersonate] answers it, itself or
	// wrapped, for "no"; and so does create for oneself, and for a caller that is
	// an impersonation.
	ErrImpersonationNotAllowed = errors.New("sessions: impersonation not allowed")
	// ErrCrossOrigin: a request of an unsafe method that a page of another origin has
	// sent, and that only cookies authenticate.
	ErrCrossOrigin = errors.New("sessions: cross-origin request")
	// ErrJoined: Refresh was called on a Manager from [Manager.WithStore]. The
	// host's rollback would undo the end of a replayed session.
	ErrJoined = errors.New("sessions: refresh cannot join a transaction")
)

// Leaves of ErrUnauthenticated.
var (
	// ErrNoCredentials: the request carries none.
	ErrNoCredentials = fmt.Errorf("%w: no credentials", ErrUnauthenticated)
	// ErrInvalidToken: not an access token of ours.
	ErrInvalidToken = fmt.Errorf("%w: invalid access token", ErrUnauthenticated)
	// ErrExpired: an access token of ours that has expired, or whose session is
	// over. Errors of this kind are [*ExpiredError].
	ErrExpired = fmt.Errorf("%w: access token expired", ErrUnauthenticated)
	// ErrInvalidHandoff: a hand-off code that is malformed, unknown or late, or
	// that was redeemed before; then the session has ended.
	ErrInvalidHandoff = fmt.Errorf("%w: invalid hand-off code", ErrUnauthenticated)
	// ErrRefused is the branch of all refused refresh tokens: sign in again.
	ErrRefused = fmt.Errorf("%w: refresh token refused", ErrUnauthenticated)
)

// Leaves of ErrRefused, one for each reason.
var (
	// ErrMalformed: not a refresh token of ours, or of a secret that was dropped.
	ErrMalformed = fmt.Errorf("%w: malformed", ErrRefused)
	// ErrUnknownSession: there is no such session, or no longer.
	ErrUnknownSession = fmt.Errorf("%w: unknown session", ErrRefused)
	// ErrSessionEnded: the session was ended before.
	ErrSessionEnded = fmt.Errorf("%w: session ended", ErrRefused)
	// errReplaced: by another one of the same browser.
	errReplaced = fmt.Errorf("%w: replaced", ErrSessionEnded)
	// ErrSessionExpired: the session reached its end; for an impersonation its
	// last 30 s.
	ErrSessionExpired = fmt.Errorf("%w: session expired", ErrRefused)
	// ErrSessionIdle: the session was not refreshed for longer than allowed.
	ErrSessionIdle = fmt.Errorf("%w: session idle", ErrRefused)
	// ErrReplay: a spent token; this call has ended the session.
	ErrReplay = fmt.Errorf("%w: replay", ErrRefused)
	// ErrRecoveryLimit: too many lost replies; this call has ended the session.
	ErrRecoveryLimit = fmt.Errorf("%w: recovery limit", ErrRefused)
	// ErrUserGone: the host no longer knows the user; the session is ended.
	ErrUserGone = fmt.Errorf("%w: user gone", ErrRefused)
	// ErrActorEnded: the session of the actor behind an impersonation is over.
	ErrActorEnded = fmt.Errorf("%w: actor's session ended", ErrRefused)
	// ErrNotAllowed: the actor may no longer impersonate the user; the session is
	// ended.
	ErrNotAllowed = fmt.Errorf("%w: impersonation no longer allowed", ErrRefused)
	// ErrUserRefused: the host says that the user may not; the session is kept.
	ErrUserRefused = fmt.Errorf("%w: user disabled", ErrRefused)
)

// What [Config.Users] answers with. Any other error means that it could not tell.
var (
	// ErrUserNotFound: there is no such user.
	ErrUserNotFound = errors.New("sessions: user not found")
	// ErrUserDisabled: the user exists and may not have sessions now.
	ErrUserDisabled = errors.New("sessions: user disabled")
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
