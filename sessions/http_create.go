package sessions

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode"
)

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
		e := &APIError{
			Status: 400, Code: codeUserIDDoesNotExist, Message: "The user does not exist.",
			Details: map[string]any{"user_id": p.UserID}, cause: err,
		}
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

// makeSession creates what a key asks for; a user can only impersonate.
func (h *Handler) makeSession(r *http.Request, p CreateParams, caller Identity) (Grant, error) {
	if caller.Trusted() {
		return h.m.Create(r.Context(), p)
	}
	p.Client = h.m.RequestClient(r) // the actor's own browser
	return h.m.Impersonate(r.Context(), caller, p)
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
			s.add("body.expires_in_millis", "must be an integer from %d to %d",
				least.Milliseconds(), most.Milliseconds())
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
