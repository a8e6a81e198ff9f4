package sessions

// Tested in package httpapi.

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Stack Auth is being renamed to Hexclave, so each header of its family has two spellings. If a
// request has both, the newer one counts.
const (
	stackPrefix    = "X-Stack-"
	hexclavePrefix = "X-Hexclave-"
)

// stackValues returns the values of X-Hexclave-name, else of X-Stack-name.
func stackValues(h http.Header, name string) []string {
	if values := h.Values(hexclavePrefix + name); len(values) > 0 {
		return values
	}
	return h.Values(stackPrefix + name)
}

// addVary adds names to the Vary of an answer.
func addVary(h http.Header, names ...string) {
	h.Set("Vary", strings.Join(append(h.Values("Vary"), names...), ", "))
}

func setStackHeader(h http.Header, name, value string) {
	h.Set(stackPrefix+name, value)
	h.Set(hexclavePrefix+name, value)
}

// isStackRequest reports whether r carries any header of the family.
func isStackRequest(r *http.Request) bool {
	for name := range r.Header {
		if isStackHeader(name) {
			return true
		}
	}
	return false
}

func isStackHeader(name string) bool {
	return strings.HasPrefix(name, stackPrefix) || strings.HasPrefix(name, hexclavePrefix)
}

// heard returns r as this Manager understands it. Without [Config.ProjectID] the headers
// of the family mean nothing, so they are left out before anything reads them.
func (m *Manager) heard(r *http.Request) *http.Request {
	if m.cfg.ProjectID != "" || !isStackRequest(r) {
		return r
	}
	plain := *r // the host's request is not changed
	plain.Header = maps.Clone(r.Header)
	maps.DeleteFunc(plain.Header, func(name string, _ []string) bool { return isStackHeader(name) })
	return &plain
}

// StackHeaders gives the host's own routes what the published SDK expects of every route. If a
// request carries a header of the x-stack or x-hexclave family, the answer has the request id under
// the names of both families. If the handler sets the known-error header of one family, the answer
// has that of the other one, too. If the request asks for it with x-stack-override-error-status,
// 4xx errors are sent as 200 with the real status in x-stack-actual-status. Other requests pass
// untouched. The endpoints of this package do not need it, and it does them no harm.
func StackHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isStackRequest(r) {
			next.ServeHTTP(w, r)
			return
		}
		sw := newStackWriter(w, r)
		next.ServeHTTP(sw, r)
		if !sw.sent { // net/http sends a 200 for a handler that has written nothing
			setStackHeader(sw.Header(), headerRequestID, requestID(sw.Header()))
		}
	})
}

// stackWriter sets the family's headers on an answer when it is sent: by then the handler has set
// all of its own.
type stackWriter struct {
	http.ResponseWriter
	override bool
	sent     bool
}

func newStackWriter(w http.ResponseWriter, r *http.Request) *stackWriter {
	return &stackWriter{ResponseWriter: w, override: len(stackValues(r.Header, headerOverride)) > 0}
}

func (w *stackWriter) WriteHeader(status int) {
	if w.sent {
		w.ResponseWriter.WriteHeader(status) // net/http logs the mistake
		return
	}
	if status >= 200 { // 1xx are not the answer
		w.sent = true
		h := w.Header()
		setStackHeader(h, headerRequestID, requestID(h))
		if known := stackValues(h, headerKnownError); len(known) > 0 {
			setStackHeader(h, headerKnownError, known[0])
		}
		if w.override && status >= 400 && status <= 499 {
			setStackHeader(h, headerActualStatus, strconv.Itoa(status))
			status = http.StatusOK
			// No cache may give this 200 to a client that does not expect it.
			addVary(h, stackPrefix+headerOverride, hexclavePrefix+headerOverride)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *stackWriter) Write(b []byte) (int, error) {
	if !w.sent {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Flush sends what has been written so far, headers first.
func (w *stackWriter) Flush() {
	if !w.sent {
		w.WriteHeader(http.StatusOK)
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush() // a writer that cannot flush sends it later
}

// Unwrap is for [http.ResponseController].
func (w *stackWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// requestID returns the X-Request-Id of an answer. It keeps one that outer middleware has set, if
// it is well-formed, and else sets a new one. It never takes that of the request, which could forge
// lines of a log.
func requestID(h http.Header) string {
	const name = "X-Request-Id"
	id := h.Get(name)
	if id != "" && len(id) <= 128 && !strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return id
	}
	id = uuid.NewString()
	h.Set(name, id)
	return id
}

// stackCredentials are the headers of the x-stack family that say who makes a request.
type stackCredentials struct {
	access                         AccessType
	project, branch                string
	clientKey, serverKey, adminKey string
	token                          string
}

// readStack reads the credentials of the x-stack family. Each header may be there once.
func readStack(r *http.Request) (stackCredentials, error) {
	var problems schemaError
	get := func(name string) string {
		values := stackValues(r.Header, name)
		if len(values) > 1 {
			problems.add("headers.x-stack-"+strings.ToLower(name), "must be there once")
		}
		return strings.Join(values, "")
	}
	c := stackCredentials{
		access:    AccessType(get("Access-Type")),
		project:   get("Project-Id"),
		branch:    get("Branch-Id"),
		clientKey: get("Publishable-Client-Key"),
		serverKey: get("Secret-Server-Key"),
		adminKey:  get("Super-Secret-Admin-Key"),
		token:     get("Access-Token"),
	}
	return c, problems.err(r)
}

// stackIdentity returns who makes a request by the headers of the x-stack family. named is false if they name no access
// type. The contract gives the order of the checks.
func (m *Manager) stackIdentity(r *http.Request, check tokenCheck) (id Identity, named bool, err error) {
	if !isStackRequest(r) {
		return Identity{}, false, nil
	}
	c, err := readStack(r)
	if err == nil {
		named, err = m.checkStackAccess(c)
	}
	if err != nil || !named {
		return Identity{}, false, err
	}
	if c.token != "" && check != nil {
		if id, err = check(m.askedBy(r), c.token); err != nil {
			return Identity{}, false, err
		}
	}
	if err := m.checkProject(c.project, id.SessionID); err != nil {
		return Identity{}, false, err
	}
	id.Access = c.access
	if err := m.checkStackKey(&id, c); err != nil {
		return Identity{}, false, err
	}
	if c.branch != "" && c.branch != "main" {
		return Identity{}, false, &APIError{
			Status: 400, Code: codeBranchDoesNotExist, Message: "There is no such branch.",
			Details: map[string]any{"branch_id": clipText(c.branch, 64)},
		}
	}
	return id, true, nil
}

// checkStackAccess checks the access type, and what must come with it or without it.
func (m *Manager) checkStackAccess(c stackCredentials) (named bool, err error) {
	switch c.access {
	case AccessClient, AccessServer, AccessAdmin:
	case "":
		if c.clientKey != "" || c.serverKey != "" || c.adminKey != "" {
			return false, &APIError{
				Status: 400, Code: codeProjectKeyWithoutAccessType, Message: "A key came without x-stack-access-type.",
			}
		}
		return false, m.checkProject(c.project, "")
	default:
		return false, &APIError{
			Status: 400, Code: codeInvalidAccessType, Message: "x-stack-access-type must be client, server or admin.",
			Details: map[string]any{"accessType": clipText(string(c.access), 64)},
		}
	}
	if c.project == "" {
		return false, &APIError{
			Status: 400, Code: codeAccessTypeWithoutProjectID,
			Message: "x-stack-access-type came without x-stack-project-id.",
			Details: map[string]any{"request_type": string(c.access)},
		}
	}
	return true, nil
}

// checkStackKey checks the key of the access type.
func (m *Manager) checkStackKey(id *Identity, c stackCredentials) error {
	switch c.access {
	case AccessServer:
		return m.checkServerKey(id, c.serverKey, codeServerAuthenticationRequired)
	case AccessAdmin:
		return m.checkServerKey(id, c.adminKey, codeAdminAuthenticationRequired)
	default:
		return m.checkClientKey(c.clientKey)
	}
}

// checkProject compares a project header, if there is one.
func (m *Manager) checkProject(project, sessionID string) error {
	switch {
	case project == "" || project == m.cfg.ProjectID:
		return nil
	case sessionID != "":
		return &APIError{
			Status: 401, Code: codeInvalidProjectForAccessToken, Message: "The access token is of another project.",
			challenge: "invalid_token",
			Details: map[string]any{
				"expected_project_id": clipText(project, 128), "actual_project_id": m.cfg.ProjectID,
			},
		}
	default:
		return &APIError{
			Status: 400, Code: codeCurrentProjectNotFound, Message: "There is no such project.",
			Details: map[string]any{"project_id": clipText(project, 128)},
		}
	}
}

func (m *Manager) checkClientKey(key string) error {
	if key == publicClientKey && m.cfg.ProjectID != "" {
		key = ""
	}
	e := &APIError{Status: 401, Details: m.projectDetails()}
	switch {
	case slices.Contains(m.cfg.ClientKeys, key):
		return nil
	case key != "":
		e.Code, e.Message = codeInvalidPublishableClientKey, "The client key is not valid."
	case m.cfg.RequireClientKey:
		e.Code, e.Message = codePublishableClientKeyRequired, "A client key is required."
	default:
		return nil
	}
	return e
}

// projectDetails returns the details of refusals in which the published SDK looks for the project.
func (m *Manager) projectDetails() map[string]any {
	if m.cfg.ProjectID == "" {
		return nil
	}
	return map[string]any{"project_id": m.cfg.ProjectID}
}

func (m *Manager) checkServerKey(id *Identity, key, required string) error {
	if key == "" {
		return &APIError{Status: 401, Code: required, Message: "This access type needs its key."}
	}
	found, err := m.keyIdentity(key, id.Access)
	id.KeyName = found.KeyName
	return err
}
