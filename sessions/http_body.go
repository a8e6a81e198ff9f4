package sessions

// Tested in json_test.go and in package httpapi.

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	maxBody        = 64 << 10
	maxContentType = 255
)

const (
	mediaJSON = "application/json"
	mediaForm = "application/x-www-form-urlencoded"
)

// readBody reads a body of one of the allowed media types, up to maxBody.
func readBody(w http.ResponseWriter, r *http.Request, allowed ...string) (media string, body []byte, err error) {
	media, ok := mediaType(r)
	if ok {
		ok = false
		for _, a := range allowed {
			ok = ok || a == media
		}
	}
	if !ok {
		return "", nil, &APIError{
			Status: 415, Code: codeUnsupportedMediaType, Message: "Send one Content-Type: " +
				strings.Join(allowed, " or ") + ", in UTF-8 and without Content-Encoding.",
		}
	}
	tooLarge := func() error {
		// Without this, net/http waits for more of the body before it answers, and a client that
		// sends no more keeps the server waiting.
		w.Header().Set("Connection", "close")
		return &APIError{Status: 413, Code: codeBodyTooLarge, Message: "The request body is larger than 64 KiB."}
	}
	if r.ContentLength > maxBody {
		return "", nil, tooLarge()
	}
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit):
		return "", nil, tooLarge()
	case err != nil:
		return "", nil, bodyParsingError("could not be read to its end")
	}
	return media, body, nil
}

// mediaType returns the type of a body that is plain UTF-8.
func mediaType(r *http.Request) (string, bool) {
	values := r.Header.Values("Content-Type")
	if len(values) != 1 || len(values[0]) > maxContentType || len(r.Header.Values("Content-Encoding")) > 0 {
		return "", false
	}
	media, params, err := mime.ParseMediaType(values[0])
	if err != nil {
		return "", false
	}
	charset, ok := params["charset"]
	return media, !ok || strings.EqualFold(charset, "utf-8")
}

// isJSON reports whether a Content-Type names JSON, with any parameters.
func isJSON(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(media), mediaJSON)
}

// readObject reads a body that is a JSON object. An error of one that is other JSON
// wraps errNotObject.
func readObject(w http.ResponseWriter, r *http.Request) (jsonObject, error) {
	_, body, err := readBody(w, r, mediaJSON)
	if err != nil {
		return nil, err
	}
	return objectOf(r, body)
}

func objectOf(r *http.Request, body []byte) (jsonObject, error) {
	object, err := parseObject(body)
	switch {
	case errors.Is(err, errNotObject):
		e := newSchemaError(r, "body", "%s", err)
		e.cause = err
		return nil, e
	case err != nil:
		return nil, bodyParsingError("%s", err)
	}
	return object, nil
}

// readJSON reads a JSON object.
func readJSON(body []byte) (jsonObject, error) {
	object, err := parseObject(body)
	if err != nil {
		return nil, bodyParsingError("%s", err)
	}
	return object, nil
}

// formFields reads the named fields of a form and skips all others, which is cheaper
// than [url.ParseQuery] for a form that has thousands. Each may be there once.
func formFields(r *http.Request, form string, names []string) (map[string]string, error) {
	malformed := bodyParsingError("is not a well-formed form")
	var s schemaError
	found := make(map[string]string, len(names))
	for pair := range strings.SplitSeq(form, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if strings.Contains(pair, ";") || !wellEscaped(pair) {
			return nil, malformed
		}
		if len(name) > 3*maxFormName {
			continue // also if every character of it is escaped
		}
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, malformed
		}
		if !slices.Contains(names, name) {
			continue
		}
		if _, twice := found[name]; twice {
			s.add("body."+name, "must be there once")
			return nil, s.err(r)
		}
		if found[name], err = url.QueryUnescape(value); err != nil {
			return nil, malformed
		}
	}
	return found, nil
}

// maxFormName is the length of the longest name of a field that we read.
const maxFormName = len("refresh_token")

// wellEscaped reports whether two hexadecimal digits follow each percent sign.
func wellEscaped(s string) bool {
	for {
		_, rest, found := strings.Cut(s, "%")
		if !found {
			return true
		}
		if len(rest) < 2 || !isHex(rest[0]) || !isHex(rest[1]) {
			return false
		}
		s = rest[2:]
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// query reads the named parameters of r. Each may be there once, and must be properly encoded.
// Others are ignored.
func query(r *http.Request, names ...string) (map[string]string, error) {
	var s schemaError
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, newSchemaError(r, "query", "is malformed")
	}
	found := map[string]string{}
	for _, name := range names {
		switch given := values[name]; len(given) {
		case 0:
		case 1:
			found[name] = given[0]
		default:
			s.add("query."+name, "must be there once")
		}
	}
	return found, s.err(r)
}
