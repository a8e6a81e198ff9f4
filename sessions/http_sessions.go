package sessions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// WriteGrant answers with the tokens of a grant, or with the hand-off code of one that
// has a code in place of tokens, as JSON, in the form and with the headers of POST
// /auth/sessions: what a host's own sign-in ends in. No cache keeps it. For browsers
// see [Manager.SetCookies].
//
// A grant with neither is an error, and then nothing is written.
func (m *Manager) WriteGrant(w http.ResponseWriter, g Grant) error {
	switch {
	case g.Handoff != (Token{}):
		writeJSON(w, http.StatusOK, handoffJSON{
			HandoffCode: g.Handoff.Reveal(), ExpiresIn: int64(handoffTTL / time.Second),
			SessionID: g.Session.ID, UserID: g.Session.UserID,
			ExpiresAtMillis: g.Session.ExpiresAt.UnixMilli(), IsImpersonation: g.Session.Impersonation,
		})
	case g.AccessToken == (Token{}) || g.RefreshToken == (Token{}):
		return errors.New("sessions: WriteGrant: the grant has no tokens")
	default:
		writeJSON(w, http.StatusOK, newGrantJSON(g))
	}
	return nil
}

// grantJSON is the answer of create and of refresh.
type grantJSON struct {
	RefreshToken    string `json:"refresh_token"`
	AccessToken     string `json:"access_token"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"`
	SessionID       string `json:"session_id"`
	UserID          string `json:"user_id"`
	ExpiresAtMillis int64  `json:"expires_at_millis"`
	IsImpersonation bool   `json:"is_impersonation"`
}

func newGrantJSON(g Grant) grantJSON {
	return grantJSON{
		RefreshToken:    g.RefreshToken.Reveal(),
		AccessToken:     g.AccessToken.Reveal(),
		TokenType:       "Bearer",
		ExpiresIn:       g.expiresIn(),
		SessionID:       g.Session.ID,
		UserID:          g.Session.UserID,
		ExpiresAtMillis: g.Session.ExpiresAt.UnixMilli(),
		IsImpersonation: g.Session.Impersonation,
	}
}

// expiresIn is in whole seconds (RFC 6749, section 5.1).
func (g Grant) expiresIn() int64 {
	return int64(g.AccessTokenExpiresAt.Sub(g.AccessTokenIssuedAt) / time.Second)
}

// Create is POST /auth/sessions: a trusted caller names a user and gets a session. A
// caller by cookie gets the cookies of an impersonation, and no token in the body.
func (h *Handler) Create() http.Handler { return h.endpoint(methods(http.MethodPost), h.create) }

func (h *Handler) create(w http.ResponseWriter, r *http.Request) error {
	// First of all: of nobody's request the body is not even read.
	caller, byCookie, err := h.m.authenticateBy(w, r, h.m.verifyStrict)
	if err != nil {
		return err
	}
	if !caller.Trusted() && !caller.HasUser() {
		return insufficientAccess(caller, AccessServer, AccessAdmin)
	}
	object, err := readObject(w, r)
	switch {
	case caller.Trusted():
	case h.m.cfg.MayImpersonate == nil:
		h.refused(r, object, caller, errNobody)
		return insufficientAccess(caller, AccessServer, AccessAdmin)
	case caller.Impersonation:
		h.refused(r, object, caller, errChained)
		return errChained
	}
	if err != nil {
		if errors.Is(err, errNotObject) {
			h.refused(r, object, caller, err)
		}
		return err
	}
	p, err := h.createParams(r, object, caller)
	if err == nil && byCookie && p.Handoff {
		// A script in the page could redeem the code, and have the tokens.
		err = newSchemaError(r, "body.handoff", "is not for callers by cookie")
	}
	if err != nil {
		h.refused(r, object, caller, err)
		return err
	}
	grant, err := h.makeSession(r, p, caller)
	switch {
	case errors.Is(err, ErrImpersonationNotAllowed): // which may wrap what the host says of the actor
		return err
	case errors.Is(err, ErrUserNotFound), errors.Is(err, ErrUserDisabled):
		e := &APIError{Status: 400, Code: codeUserIDDoesNotExist, Message: "The user does not exist.", Details: map[string]any{"user_id": p.UserID}, cause: err}
		if errors.Is(err, ErrUserDisabled) {
			e.Message = "The user may not have sessions now."
			e.Details["reason"] = "user_disabled"
		}
		return e
	case err != nil:
		return h.m.explain(err)
	}
	return h.m.answerGrant(w, grant, byCookie)
}

// answerGrant answers with a grant. A browser in cookie mode gets the tokens in cookies
// only: in the body a script in the page could take them away.
func (m *Manager) answerGrant(w http.ResponseWriter, g Grant, byCookie bool) error {
	if !byCookie {
		return m.WriteGrant(w, g)
	}
	if err := m.SetCookies(w, g); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, newCookieGrantJSON(g))
	return nil
}

// refused reports a request for an impersonation that does not reach the Manager, by a
// caller who is somebody.
func (h *Handler) refused(r *http.Request, body jsonObject, caller Identity, why error) {
	p := CreateParams{By: caller.KeyName, Client: h.m.RequestClient(r)}
	p.UserID, _ = jsonString(body.get("user_id"))
	p.Reason, _ = jsonString(body.get("reason"))
	asked, _ := jsonBool(body.get("is_impersonation"))
	if caller.Trusted() && !asked {
		return
	}
	if !caller.Trusted() {
		p.caller, p.Actor, p.By = &caller, caller.UserID, caller.UserID
	} else if actor, err := parseObject(body.get("actor")); err == nil {
		p.Actor, _ = jsonString(actor.get("user_id"))
	}
	h.m.refuseImpersonation(r.Context(), p, why)
}

// handoffJSON is the answer of a create that asked for a code in place of tokens.
type handoffJSON struct {
	HandoffCode     string `json:"handoff_code"`
	ExpiresIn       int64  `json:"expires_in"`
	SessionID       string `json:"session_id"`
	UserID          string `json:"user_id"`
	ExpiresAtMillis int64  `json:"expires_at_millis"`
	IsImpersonation bool   `json:"is_impersonation"`
}

// makeSession creates what a key asks for; a user can only impersonate.
func (h *Handler) makeSession(r *http.Request, p CreateParams, caller Identity) (Grant, error) {
	if caller.Trusted() {
		return h.m.Create(r.Context(), p)
	}
	p.Client = h.m.RequestClient(r) // the actor's own browser
	return h.m.Impersonate(r.Context(), caller, p)
}

// Redeem is POST /auth/sessions/redeem: exchanges a hand-off code for the tokens, which
// go into cookies if the request comes from a browser that has our cookies.
func (h *Handler) Redeem() http.Handler { return h.endpoint(methods(http.MethodPost), h.redeem) }

func (h *Handler) redeem(w http.ResponseWriter, r *http.Request) error {
	// As at refresh, the code is credential enough; what else is sent is checked.
	if _, _, err := h.m.stackIdentity(r, nil); err != nil {
		return err
	}
	byCookie, err := h.m.isBrowser(r)
	if err != nil {
		return err
	}
	object, err := readObject(w, r)
	if err != nil {
		return err
	}
	var s schemaError
	for _, field := range object {
		if string(field.name) != "code" {
			s.unknown("body", field.name)
		}
	}
	code, ok := jsonString(object.get("code"))
	if !ok {
		s.add("body.code", "must be a string")
	}
	if err := s.err(r); err != nil {
		return err
	}
	grant, err := h.m.Redeem(r.Context(), code, h.m.RequestClient(r))
	if errors.Is(err, ErrUnavailable) {
		// The code may be used up, and a second use ends the session.
		e := *NewAPIError(err)
		e.Message, e.Details = "Temporarily unavailable: ask for a new code.", map[string]any{"retry": false}
		return &e
	}
	if err != nil {
		return err
	}
	return h.m.answerGrant(w, grant, byCookie)
}

// isBrowser reports whether a request comes from a browser in cookie mode: it carries
// our cookies, live or not, and no credentials in headers.
func (m *Manager) isBrowser(r *http.Request) (bool, error) {
	if m.cookies == nil {
		return false, nil
	}
	if _, err := m.headerIdentity(r, nil); !errors.Is(err, ErrNoCredentials) {
		return false, nil
	}
	_, err := m.cookies.readSameOrigin(r)
	if errors.Is(err, ErrNoCredentials) {
		return false, nil
	}
	return err == nil, err
}

// createParams checks every field before it returns, so that a caller learns of
// all problems at once.
func (h *Handler) createParams(r *http.Request, body jsonObject, caller Identity) (CreateParams, error) {
	var (
		p   = CreateParams{By: caller.KeyName}
		s   schemaError
		ttl []byte
	)
	for _, field := range body {
		var ok bool
		switch string(field.name) {
		case "user_id":
			if p.UserID, ok = jsonString(field.raw); !ok || !validUserID(p.UserID) {
				s.add("body.user_id", "must be a string of 1 to %d bytes without control or format characters",
					maxUserID)
			}
		case "expires_in_millis":
			ttl = field.raw
		case "is_impersonation":
			if p.Impersonation, ok = jsonBool(field.raw); !ok {
				s.add("body.is_impersonation", "must be true or false")
			}
		case "reason":
			if p.Reason, ok = jsonString(field.raw); !ok || !validReason(p.Reason) {
				s.add("body.reason", "must be a string of at most %d bytes without control or format characters",
					maxReason)
			}
		case "actor":
			p.Actor = actorField(&s, field.raw)
		case "client":
			p.Client = clientField(&s, field.raw)
			if !caller.Trusted() {
				s.add("body.client", "is only for keys")
			}
		case "handoff":
			if p.Handoff, ok = jsonBool(field.raw); !ok {
				s.add("body.handoff", "must be true or false")
			}
		default:
			s.unknown("body", field.name)
		}
	}
	if body.get("user_id") == nil {
		s.add("body.user_id", "is required")
	}
	if !caller.Trusted() {
		p.Impersonation, p.By = true, caller.UserID
		if p.Actor != "" && p.Actor != caller.UserID {
			s.add("body.actor", "is always the caller")
		}
		p.Actor = caller.UserID
	}
	if p.Impersonation && h.m.cfg.Impersonation.RequireActor && p.Actor == "" && body.get("actor") == nil {
		s.add("body.actor", "is required")
	}
	if p.Impersonation && h.m.cfg.Impersonation.RequireReason && !visible(p.Reason) {
		s.add("body.reason", "is required")
	}
	if ttl != nil {
		least, most := time.Millisecond, h.m.cfg.MaxSessionTTL
		if p.Impersonation {
			least, most = minImpersonationTTL, h.m.cfg.Impersonation.MaxTTL
		}
		millis, ok := jsonInt(ttl)
		if !ok || millis < least.Milliseconds() || millis > most.Milliseconds() {
			s.add("body.expires_in_millis", "must be an integer from %d to %d", least.Milliseconds(), most.Milliseconds())
		}
		p.TTL = time.Duration(millis) * time.Millisecond
	}
	if body.get("actor") != nil && !p.Impersonation {
		s.add("body.actor", "is only for impersonations")
	}
	if err := s.err(r); err != nil {
		return CreateParams{}, err
	}
	if p.UserID == "me" {
		if !caller.HasUser() {
			return CreateParams{}, cannotGetOwnUser()
		}
		p.UserID = caller.UserID
	}
	return p, nil
}

func actorField(s *schemaError, raw []byte) string {
	actor, err := parseObject(raw)
	if err != nil {
		s.add("body.actor", "must be an object with user_id")
		return ""
	}
	for _, field := range actor {
		if string(field.name) != "user_id" {
			s.unknown("body.actor", field.name)
		}
	}
	id, ok := jsonString(actor.get("user_id"))
	if !ok || !validUserID(id) {
		s.add("body.actor.user_id", "must be a string of 1 to %d bytes without control or format characters", maxUserID)
	}
	return id
}

func clientField(s *schemaError, raw []byte) (c Client) {
	client, err := parseObject(raw)
	if err != nil {
		s.add("body.client", "must be an object")
		return Client{}
	}
	for _, field := range client {
		text, ok := jsonString(field.raw)
		switch string(field.name) {
		case "ip":
			addr, err := netip.ParseAddr(text)
			if !ok || err != nil {
				s.add("body.client.ip", "must be an IP address")
				continue
			}
			c.IP = addr.Unmap().WithZone("").String()
		case "user_agent":
			// What the end user's browser says of itself: it must not fail a sign-in.
			if !ok || strings.ContainsFunc(text, unicode.IsControl) {
				s.add("body.client.user_agent", "must be a string without control characters")
			}
			c.UserAgent = text
		default:
			s.unknown("body.client", field.name)
		}
	}
	return c
}

// sessionJSON is a session as it is listed. Nothing of it can be used as a token.
type sessionJSON struct {
	ID               string  `json:"id"`
	UserID           string  `json:"user_id"`
	CreatedAt        int64   `json:"created_at"`
	LastUsedAt       int64   `json:"last_used_at"`
	ExpiresAt        int64   `json:"expires_at"`
	IsImpersonation  bool    `json:"is_impersonation"`
	IsCurrentSession bool    `json:"is_current_session"`
	IPInfo           *ipJSON `json:"last_used_at_end_user_ip_info,omitempty"`
	UserAgent        *string `json:"user_agent"`
	// For trusted callers, and of the caller's own session.
	*governance
}

type ipJSON struct {
	IP string `json:"ip"`
}

type governance struct {
	Actor  *string `json:"actor"`
	Reason *string `json:"reason"`
}

func newSessionJSON(s Session, caller Identity) sessionJSON {
	v := sessionJSON{
		ID:               s.ID,
		UserID:           s.UserID,
		CreatedAt:        s.CreatedAt.UnixMilli(),
		LastUsedAt:       s.LastUsedAt.UnixMilli(),
		ExpiresAt:        s.ExpiresAt.UnixMilli(),
		IsImpersonation:  s.Impersonation,
		IsCurrentSession: caller.SessionID == s.ID,
		UserAgent:        orNull(s.Client.UserAgent),
	}
	if s.Client.IP != "" {
		v.IPInfo = &ipJSON{s.Client.IP}
	}
	if caller.Trusted() {
		v.governance = &governance{Actor: orNull(s.Actor), Reason: orNull(s.Reason)}
	} else {
		// To the hour: a thief who holds the same token could watch the exact
		// time for the moment at which his own use goes unnoticed.
		v.LastUsedAt = s.roundedUse().UnixMilli()
	}
	return v
}

// List is GET /auth/sessions: the live sessions of a user.
func (h *Handler) List() http.Handler { return h.endpoint(methods(http.MethodGet), h.list) }

func (h *Handler) list(w http.ResponseWriter, r *http.Request) error {
	caller, err := h.m.authenticate(w, r, h.m.verifyStrict)
	if err != nil {
		return err
	}
	q, err := query(r, "user_id", "limit", "cursor", "impersonation")
	if err != nil {
		return err
	}
	var (
		s       schemaError
		options ListOptions
	)
	userID, given := q["user_id"]
	if !given || !validUserID(userID) {
		s.add("query.user_id", "must be a user id or me")
	}
	limit, paged := q["limit"]
	if paged {
		options.Limit, err = strconv.Atoi(limit)
		if err != nil || options.Limit < 1 || options.Limit > maxListLimit || strconv.Itoa(options.Limit) != limit {
			s.add("query.limit", "must be an integer from 1 to %d", maxListLimit)
		}
	}
	if cursor, given := q["cursor"]; given {
		options.Cursor = cursor
		if _, ok := parseCursor(cursor); !ok {
			s.add("query.cursor", "must be the next_cursor of the page before")
		}
		if !paged {
			s.add("query.cursor", "needs query.limit")
		}
	}
	impersonation, given := q["impersonation"]
	if given && impersonation != "include" {
		s.add("query.impersonation", "must be include")
	}
	if err := s.err(r); err != nil {
		return err
	}
	if userID, err = resolveUser(caller, userID); err != nil {
		return err
	}
	var found SessionList
	if caller.Trusted() {
		options.Impersonations = given || caller.Access == AccessAdmin
		found, err = h.m.List(r.Context(), userID, options)
	} else {
		found, err = h.m.ListOwn(r.Context(), caller, options)
	}
	if err != nil {
		return err
	}
	answer := listJSON{Items: make([]sessionJSON, len(found.Sessions)), IsPaginated: paged}
	for i, session := range found.Sessions {
		answer.Items[i] = newSessionJSON(session, caller)
	}
	if paged {
		answer.Pagination = &paginationJSON{orNull(found.Next)}
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

type listJSON struct {
	Items       []sessionJSON   `json:"items"`
	IsPaginated bool            `json:"is_paginated"`
	Pagination  *paginationJSON `json:"pagination,omitempty"`
}

type paginationJSON struct {
	NextCursor *string `json:"next_cursor"`
}

// resolveUser says whose sessions a caller means, and refuses another user's to a
// client.
func resolveUser(caller Identity, userID string) (string, error) {
	if (userID == "me" || !caller.Trusted()) && !caller.HasUser() {
		return "", cannotGetOwnUser()
	}
	if userID == "me" {
		return caller.UserID, nil
	}
	if !caller.Trusted() && userID != caller.UserID {
		return "", &APIError{Status: 403, Code: codeForbidden, Message: "These are another user's sessions."}
	}
	return userID, nil
}

// Current is GET /auth/sessions/current: the session of the access token.
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
	v := newSessionJSON(session, caller)
	v.governance = &governance{Actor: orNull(session.Actor), Reason: orNull(session.Reason)}
	writeJSON(w, http.StatusOK, v)
	return nil
}

// End is DELETE /auth/sessions/{id}: ends one session. On a route of your own it reads
// the id from the path value sessile_id:
//
//	mux.Handle("DELETE /support/sessions/{sessile_id}", handler.End())
func (h *Handler) End() http.Handler { return h.endpoint(methods(http.MethodDelete), h.endOne) }

func (h *Handler) endOne(w http.ResponseWriter, r *http.Request) error {
	caller, err := h.m.authenticate(w, r, h.m.verifyStrict)
	if err != nil {
		return err
	}
	// The SDK for clients sends user_id=me, the one for servers nothing.
	q, err := query(r, "user_id")
	if err != nil {
		return err
	}
	var s schemaError
	if userID, given := q["user_id"]; given && !validUserID(userID) {
		s.add("query.user_id", "must be a user id or me")
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
		return &APIError{Status: 400, Code: codeCannotDeleteCurrentSession, Message: "This is the session of the access token: sign out instead."}
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

// EndMany is DELETE /auth/sessions: ends all sessions of a user; for a client its
// other ones.
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
		return newSchemaError(r, "query.user_id", "must be a user id or me")
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

// SignOut is DELETE /auth/sessions/current: ends the session of the access token,
// or, where there is none, of the refresh token.
func (h *Handler) SignOut() http.Handler { return h.endpoint(methods(http.MethodDelete), h.signOut) }

func (h *Handler) signOut(w http.ResponseWriter, r *http.Request) error {
	// Expired will do, and so will the token of a session that is over: signing
	// out must not fail for reasons of the session.
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
		return &APIError{
			Status: 401, Code: codeAccessTokenExpired, Message: "Signing out needs an access token or a refresh token.",
			Details: map[string]any{"expired_at_millis": h.m.now().UnixMilli(), "project_id": nil, "user_id": nil, "refresh_token_id": nil},
		}
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

// parseOnly checks an access token for signing out.
func (m *Manager) parseOnly(ctx context.Context, token string) (Identity, error) {
	return m.parseAccess(ctx, token)
}
