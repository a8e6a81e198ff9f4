package sessions

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Stack Auth is being renamed to Hexclave, so each header of its family has two
// spellings; where a request has both, the newer one counts.
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
		if strings.HasPrefix(name, stackPrefix) || strings.HasPrefix(name, hexclavePrefix) {
			return true
		}
	}
	return false
}

// StackHeaders gives the host's own routes what the published SDK expects of every
// route, where a request carries a header of the x-stack or x-hexclave family: the
// request id under its names, both spellings of a known-error header that the
// handler has set, and, where the request asks for it with
// x-stack-override-error-status, errors of the 400s sent as 200 with the real
// status in x-stack-actual-status. Other requests pass untouched. Our own
// endpoints need no wrapping and do not mind it.
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

// stackWriter puts the family's headers on an answer at the moment it is sent,
// when the handler inside has set all of its own.
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
			// No cache may give this 200 to a client that has not asked for it.
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

// Flush sends what is there, headers first.
func (w *stackWriter) Flush() {
	if !w.sent {
		w.WriteHeader(http.StatusOK)
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush() // without one there is nothing to do
}

// Unwrap is for [http.ResponseController].
func (w *stackWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// requestID returns the X-Request-Id of an answer: the one that outer middleware
// has set, if it is fit to be one, else a new one, which it sets. What a request
// says is never echoed: it could forge log lines.
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
