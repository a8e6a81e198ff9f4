package sessions

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

const maxBody = 64 << 10

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
		return "", nil, &APIError{Status: 415, Code: CodeUnsupportedMediaType, Message: "Send one Content-Type: " + strings.Join(allowed, " or ") + ", in UTF-8 and without Content-Encoding."}
	}
	tooLarge := func() error {
		// Without this net/http waits for more of the body before it answers, and
		// a client that sends no more keeps us waiting.
		w.Header().Set("Connection", "close")
		return &APIError{Status: 413, Code: CodeBodyTooLarge, Message: "The request body is larger than 64 KiB."}
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
	if len(values) != 1 || len(r.Header.Values("Content-Encoding")) > 0 {
		return "", false
	}
	media, params, err := mime.ParseMediaType(values[0])
	if err != nil {
		return "", false
	}
	charset, ok := params["charset"]
	return media, !ok || strings.EqualFold(charset, "utf-8")
}

// readJSON reads a JSON object.
func readJSON(body []byte) (jsonObject, error) {
	object, err := parseObject(body)
	if err != nil {
		return nil, bodyParsingError("%s", err)
	}
	return object, nil
}

// query reads the named parameters of r; each may be there once, and has to be
// properly encoded. Others are ignored.
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
