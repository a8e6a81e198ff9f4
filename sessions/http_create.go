package sessions

// Tested in create_test.go and in package httpapi.

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode"
)

// Create serves POST /auth/sessions: a trusted caller names a user and gets a session. A caller by
// cookie gets the cookies of an impersonation, and no token in the body.
func (h *Handler) Create() http.Handler { return h.endpoint(methods(http.MethodPost), h.create) }

func (h *Handler) create(w http.ResponseWriter, r *http.Request) error {
	caller, byCookie, err := h.m.authenticateBy(w, r, h.m.verifyStrict)
	if err != nil {
		return err
	}
	p, err := h.decodeCreate(w, r, caller, byCookie)
	if err != nil {
		return err
	}
	grant, err := h.m.createAs(r.Context(), caller, p)
	if err != nil {
		return h.notCreated(p, err)
	}
	return h.m.answerGrant(w, grant, byCookie)
}

// decodeCreate reads what a caller asks for. An impersonation that it refuses does not reach Manager.Create, so it is
// reported here. The rights of the caller come first, and nobody's body is read.
func (h *Handler) decodeCreate(
	w http.ResponseWriter, r *http.Request, caller Identity, byCookie bool,
) (CreateParams, error) {
	if !caller.Trusted() && !caller.HasUser() {
		return CreateParams{}, h.m.insufficientAccess(caller, AccessServer, AccessAdmin)
	}
	body, unread := readObject(w, r)
	d := newCreateDecoding(body, caller)
	refuse := func(err error) (CreateParams, error) {
		if asked := d.p; asked.Impersonation {
			asked.Client = h.m.RequestClient(r)
			h.m.refuseImpersonation(r.Context(), asked, err)
		}
		return CreateParams{}, err
	}
	if err := h.m.mayAsk(caller); err != nil && !caller.Trusted() {
		if _, err = refuse(err); errors.Is(err, errNobody) {
			err = h.m.insufficientAccess(caller, AccessServer, AccessAdmin)
		}
		return CreateParams{}, err
	}
	switch {
	case errors.Is(unread, errNotObject):
		return refuse(unread)
	case unread != nil:
		return CreateParams{}, unread
	}
	d.judge(h.m, body, byCookie)
	if err := d.err(r); err != nil {
		return refuse(err)
	}
	if d.p.UserID == "me" {
		if !caller.HasUser() {
			return refuse(cannotGetOwnUser())
		}
		d.p.UserID = caller.UserID
	}
	if !caller.Trusted() {
		d.p.Client = h.m.RequestClient(r) // the actor's own browser
	}
	return d.p, nil
}

// notCreated is the answer to a request for a session that the domain has refused.
func (h *Handler) notCreated(p CreateParams, err error) error {
	switch {
	case errors.Is(err, ErrImpersonationNotAllowed): // which may wrap what the host says of the actor
		return err
	case errors.Is(err, ErrUserDisabled):
		return &APIError{
			Status: 400, Code: codeUserIDDoesNotExist, Message: "The user may not have sessions now.",
			Details: map[string]any{"user_id": p.UserID, "reason": "user_disabled"}, cause: err,
		}
	case errors.Is(err, ErrUserNotFound):
		return &APIError{
			Status: 400, Code: codeUserIDDoesNotExist, Message: "The user does not exist.",
			Details: map[string]any{"user_id": p.UserID}, cause: err,
		}
	default:
		return h.m.explain(err)
	}
}

// createDecoding decodes the body of a request for a session and collects what is wrong with it. What a value must be
// in JSON is decided here; what it must be in a session is decided by createFaults.
type createDecoding struct {
	schemaError
	caller Identity
	// p has what the body says, malformed values included.
	p CreateParams
	// actor is whom the body names as the actor. A caller who is a user is always the actor of p.
	actor string
	// unread has a value for each field whose problem is listed already, for createFaults.
	unread       CreateParams
	unreadMillis bool
}

func newCreateDecoding(body jsonObject, caller Identity) *createDecoding {
	d := &createDecoding{caller: caller}
	for _, field := range body {
		d.field(string(field.name), field.raw)
	}
	d.actor = d.p.Actor
	d.p = d.p.askedBy(caller)
	return d
}

// standIn is what createDecoding.unread has.
const standIn = "-"

func (d *createDecoding) field(name string, raw []byte) {
	switch name {
	case "user_id":
		if !d.text(&d.p.UserID, raw, "body.user_id", mustBeID) {
			d.unread.UserID = standIn
		}
	case "expires_in_millis":
		d.millis(raw)
	case "is_impersonation":
		d.flag(&d.p.Impersonation, raw, "body.is_impersonation")
	case "reason":
		d.text(&d.p.Reason, raw, "body.reason", mustBeReason)
	case "actor":
		if !d.actorField(raw) {
			d.unread.Actor = standIn
		}
	case "client":
		d.p.Client = clientField(&d.schemaError, raw)
		if !d.caller.Trusted() {
			d.add("body.client", "is only for keys")
		}
	case "handoff":
		d.flag(&d.p.Handoff, raw, "body.handoff")
	default:
		d.unknown("body", []byte(name))
	}
}

func (d *createDecoding) text(value *string, raw []byte, path, must string) (ok bool) {
	if *value, ok = jsonString(raw); !ok {
		d.add(path, "%s", must)
	}
	return ok
}

func (d *createDecoding) flag(value *bool, raw []byte, path string) {
	var ok bool
	if *value, ok = jsonBool(raw); !ok {
		d.add(path, "must be true or false")
	}
}

func (d *createDecoding) millis(raw []byte) {
	const most = math.MaxInt64 / int64(time.Millisecond)
	millis, ok := jsonInt(raw)
	if d.unreadMillis = !ok || millis < 1 || millis > most; !d.unreadMillis { // 0 is the default in Go
		d.p.TTL = time.Duration(millis) * time.Millisecond
	}
}

func (d *createDecoding) actorField(raw []byte) (ok bool) {
	actor, err := parseObject(raw)
	if err != nil {
		d.add("body.actor", "must be an object with user_id")
		return false
	}
	for _, field := range actor {
		if string(field.name) != "user_id" {
			d.unknown("body.actor", field.name)
		}
	}
	if d.p.Actor, ok = jsonString(actor.get("user_id")); !ok || d.p.Actor == "" {
		d.add("body.actor.user_id", "%s", mustBeID)
		return false
	}
	return true
}

// createPaths are the paths of the fields of CreateParams.
var createPaths = map[string]string{
	"UserID": "body.user_id", "TTL": "body.expires_in_millis", "Actor": "body.actor", "Reason": "body.reason",
}

// judge adds what createFaults finds, with the paths of the fields.
func (d *createDecoding) judge(m *Manager, body jsonObject, byCookie bool) {
	if body.get("user_id") == nil {
		d.add("body.user_id", isRequired)
		d.unread.UserID = standIn
	}
	if !d.caller.Trusted() && d.actor != "" && d.actor != d.caller.UserID {
		d.add("body.actor", "is always the caller")
	}
	if byCookie && d.p.Handoff {
		// A script in the page could redeem the code and have the tokens.
		d.add("body.handoff", "is not for callers by cookie")
	}
	p := d.p
	if d.actor != "" {
		p.Actor = d.actor
	}
	setDefault(&p.UserID, d.unread.UserID)
	setDefault(&p.Actor, d.unread.Actor)
	_, least, most := m.lifetime(p)
	lifetime := fmt.Sprintf("must be an integer from %d to %d", least.Milliseconds(), most.Milliseconds())
	if d.unreadMillis {
		d.add("body.expires_in_millis", "%s", lifetime)
	}
	for _, f := range m.createFaults(p, m.now()) {
		path, text := createPaths[f.field], f.text
		switch {
		case f.field == "TTL":
			text = lifetime
		case f.field == "Actor" && f.form:
			path += ".user_id"
		}
		d.add(path, "%s", text)
	}
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
