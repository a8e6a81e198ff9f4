package sessions

import (
	"net/http"
	"strconv"
)

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
