package sessions

// Tested in package httpapi.

import (
	"net/http"
	"strconv"
)

// List serves GET /auth/sessions: the live sessions of a user.
func (h *Handler) List() http.Handler { return h.endpoint(methods(http.MethodGet), h.list) }

func (h *Handler) list(w http.ResponseWriter, r *http.Request) error {
	caller, err := h.m.authenticate(w, r, h.m.verifyStrict)
	if err != nil {
		return err
	}
	userID, options, err := decodeList(r, caller)
	if err != nil {
		return err
	}
	found, err := h.m.listAs(r.Context(), caller, userID, options)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, newListJSON(found, caller, options))
	return nil
}

// decodeList reads which sessions a caller wants to see.
func decodeList(r *http.Request, caller Identity) (userID string, o ListOptions, err error) {
	q, err := query(r, "user_id", "limit", "cursor", "impersonation")
	if err != nil {
		return "", ListOptions{}, err
	}
	var s schemaError
	if limit, given := q["limit"]; given {
		if o.Limit, err = strconv.Atoi(limit); err != nil || o.Limit < 1 || strconv.Itoa(o.Limit) != limit {
			s.add("query.limit", mustBeLimit)
			o.Limit = 0
		}
	}
	if cursor, given := q["cursor"]; given {
		if o.Cursor = cursor; cursor == "" {
			s.add("query.cursor", mustBeCursor)
		}
		if _, paged := q["limit"]; !paged {
			s.add("query.cursor", "needs query.limit")
		}
	}
	impersonation, given := q["impersonation"]
	if given && impersonation != "include" {
		s.add("query.impersonation", "must be include")
	}
	o.Impersonations = given
	for _, f := range listFaults(q["user_id"], o) {
		s.add(listProblems[f.field][0], "%s", listProblems[f.field][1])
	}
	if err := s.err(r); err != nil {
		return "", ListOptions{}, err
	}
	userID, err = resolveUser(caller, q["user_id"])
	return userID, o, err
}

const (
	mustBeUser   = "must be a user id or me"
	mustBeLimit  = "must be an integer from 1 to 200"
	mustBeCursor = "must be the next_cursor of the page before"
)

// listProblems has the path of each field of a list and what it must be there.
var listProblems = map[string][2]string{
	"UserID": {"query.user_id", mustBeUser},
	"Limit":  {"query.limit", mustBeLimit},
	"Cursor": {"query.cursor", mustBeCursor},
}

func newListJSON(found SessionList, caller Identity, o ListOptions) listJSON {
	v := listJSON{Items: make([]sessionJSON, len(found.Sessions)), IsPaginated: o.Limit > 0}
	for i, session := range found.Sessions {
		v.Items[i] = newSessionJSON(session, caller)
	}
	if v.IsPaginated {
		v.Pagination = &paginationJSON{orNull(found.Next)}
	}
	return v
}

type listJSON struct {
	Items       []sessionJSON   `json:"items"`
	IsPaginated bool            `json:"is_paginated"`
	Pagination  *paginationJSON `json:"pagination,omitempty"`
}

type paginationJSON struct {
	NextCursor *string `json:"next_cursor"`
}

// sessionJSON is a session as it is listed. It has no secrets.
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
		// Rounded to the hour: a thief who holds the same token could watch the exact time for the
		// moment at which their own use goes unnoticed.
		v.LastUsedAt = s.roundedUse().UnixMilli()
	}
	return v
}

// resolveUser returns the user whose sessions a caller means, and refuses another user's to a
// caller without a key.
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
