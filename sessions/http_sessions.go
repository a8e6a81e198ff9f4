package sessions

// Tested in package httpapi.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Current serves GET /auth/sessions/current: the session of the access token.
func (h *Handler) Current() http.Handler { return h.endpoint(methods(http.MethodGet), h.current) }

func (h *Handler) current(w http.ResponseWriter, r *http.Request) error {
	var session Session
	caller, err := h.m.authenticate(w, r, func(ctx context.Context, token string) (Identity, error) {
		id, err := h.m.verify(ctx, token)
		if err != nil {
			return Identity{}, err
		}
		session, err = h.m.Check(ctx, id)
		return id, err
	})
	if err != nil {
		return err
	}
	if !caller.HasUser() {
		return cannotGetOwnUser()
	}
	if session.ID == "" { // cookies were refreshed, and their session was looked up there
		if session, err = h.m.Check(r.Context(), caller); err != nil {
			return h.m.explain(err)
		}
	}
	v := newSessionJSON(session, caller)
	v.governance = &governance{Actor: orNull(session.Actor), Reason: orNull(session.Reason)}
	writeJSON(w, http.StatusOK, v)
	return nil
}

// End serves DELETE /auth/sessions/{id}: it ends one session. On a route of your own it reads the
// id from the path value sessile_id:
//
//	mux.Handle("DELETE /support/sessions/{sessile_id}", handler.End())
func (h *Handler) End() http.Handler { return h.endpoint(methods(http.MethodDelete), h.endOne) }

func (h *Handler) endOne(w http.ResponseWriter, r *http.Request) error {
	caller, err := h.m.authenticate(w, r, h.m.verifyStrict)
	if err != nil {
		return err
	}
	// The SDK sends user_id=me from a client, and no query from a server.
	q, err := query(r, "user_id")
	if err != nil {
		return err
	}
	var s schemaError
	if userID, given := q["user_id"]; given && !validUserID(userID) {
		s.add("query.user_id", mustBeUser)
	}
	id, err := pathValue(r, paramID)
	if err != nil {
		return err
	}
	if !validSessionID(id) {
		s.add("params.id", "must be a UUID in lower case with dashes")
	}
	if err := s.err(r); err != nil {
		return err
	}
	switch {
	case id == caller.SessionID:
		return &APIError{
			Status: 400, Code: codeCannotDeleteCurrentSession,
			Message: "This is the session of the access token: sign out instead.",
		}
	case caller.Trusted():
		_, err = h.m.end(r.Context(), EndParams{ID: id, By: caller.KeyName})
	case !caller.HasUser():
		return cannotGetOwnUser()
	default:
		_, err = h.m.EndOwn(r.Context(), caller, id)
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, successJSON{Success: true})
	return nil
}

type successJSON struct {
	Success bool `json:"success"`
	Ended   *int `json:"ended,omitempty"`
}

// EndMany serves DELETE /auth/sessions: it ends all sessions of a user, or the other ones of a
// caller who is a user.
func (h *Handler) EndMany() http.Handler { return h.endpoint(methods(http.MethodDelete), h.endMany) }

func (h *Handler) endMany(w http.ResponseWriter, r *http.Request) error {
	caller, err := h.m.authenticate(w, r, h.m.verifyStrict)
	if err != nil {
		return err
	}
	q, err := query(r, "user_id")
	if err != nil {
		return err
	}
	userID, given := q["user_id"]
	if !given && !caller.Trusted() {
		userID, given = "me", true
	}
	if !given || !validUserID(userID) {
		return newSchemaError(r, "query.user_id", mustBeUser)
	}
	if userID, err = resolveUser(caller, userID); err != nil {
		return err
	}
	var ended []Session
	switch {
	case caller.Trusted():
		ended, err = h.m.EndMany(r.Context(), EndManyParams{UserID: userID, Reason: EndRevoked, By: caller.KeyName})
	case caller.Impersonation:
		return &APIError{Status: 403, Code: codeForbidden, Message: "An impersonation ends only itself."}
	default:
		ended, err = h.m.EndOthers(r.Context(), caller)
	}
	if err != nil {
		return err
	}
	count := len(ended)
	writeJSON(w, http.StatusOK, successJSON{Success: true, Ended: &count})
	return nil
}

// SignOut serves DELETE /auth/sessions/current: it ends the session of the access token. If the
// request has none, it ends the session of the refresh token in x-stack-refresh-token, if
// [Config.ProjectID] is set, or else the session of the cookies.
func (h *Handler) SignOut() http.Handler { return h.endpoint(methods(http.MethodDelete), h.signOut) }

func (h *Handler) signOut(w http.ResponseWriter, r *http.Request) error {
	// An expired token is good enough, and so is that of a session that is over: signing out must
	// not fail for reasons of the session.
	caller, err := h.m.headerIdentity(r, h.m.parseOnly)
	if err != nil && !errors.Is(err, ErrNoCredentials) {
		return err
	}
	token, present, tokenErr := refreshHeader(r)
	switch {
	case caller.HasUser():
		_, err = h.m.SignOut(r.Context(), caller)
	case tokenErr != nil:
		return tokenErr
	case present:
		_, err = h.m.EndByRefreshToken(r.Context(), token, EndParams{Reason: EndSignedOut})
	case err != nil && h.m.cookies != nil: // ErrNoCredentials
		_, err = h.m.SignOutBrowser(w, r)
	default:
		err = ErrNoCredentials
	}
	if errors.Is(err, ErrNoCredentials) {
		return h.m.nobodySignsOut()
	}
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: %w", ErrSessionEnded, err)
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, successJSON{Success: true})
	return nil
}

func (m *Manager) nobodySignsOut() error {
	e := &APIError{Status: 401, Code: codeAccessTokenExpired, Message: "Signing out needs an access token."}
	if m.cfg.ProjectID != "" {
		e.Message = "Signing out needs an access token or a refresh token."
		e.Details = map[string]any{
			"expired_at_millis": m.now().UnixMilli(), "project_id": nil, "user_id": nil, "refresh_token_id": nil,
		}
	}
	return e
}

// parseOnly checks an access token for signing out.
func (m *Manager) parseOnly(ctx context.Context, token string) (Identity, error) {
	return m.parseAccess(ctx, token)
}
