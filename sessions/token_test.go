package sessions_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

// An answer with "[redacted]" and 200 passes every test of the host that looks at the
// status.
func TestATokenIsNotEncodedByAccident(t *testing.T) {
	t.Parallel()
	grant := newKit(t).create(t, sessions.CreateParams{})
	for name, v := range map[string]any{
		"itself":       grant.AccessToken,
		"in a map":     map[string]any{"token": grant.AccessToken},
		"in a grant":   grant,
		"by a pointer": &grant,
		"as a key":     map[sessions.Token]int{grant.RefreshToken: 1},
		"empty":        sessions.Token{},
	} {
		text, err := json.Marshal(v)
		if len(text) > 0 || err == nil || !strings.Contains(err.Error(), "Token.Reveal") ||
			!strings.Contains(err.Error(), "Manager.WriteGrant") {
			t.Errorf("json, %s: %s, %v; want an error that names the cure", name, text, err)
		}
		var unsupported *xml.UnsupportedTypeError // a map
		text, err = xml.Marshal(v)
		if err == nil || !errors.As(err, &unsupported) && !strings.Contains(err.Error(), "Token.Reveal") {
			t.Errorf("xml, %s: %s, %v", name, text, err)
		}
	}
}

func TestALogWithATokenInItShowsNone(t *testing.T) {
	t.Parallel()
	grant := newKit(t).create(t, sessions.CreateParams{})
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		for what, v := range map[string]any{
			"token": grant.AccessToken, "pointer": &grant.AccessToken, "grant": grant,
			"wrapped": struct{ Grant sessions.Grant }{grant},
			"map":     map[string]sessions.Token{"token": grant.RefreshToken},
			"error":   fmt.Errorf("for %v", grant.AccessToken),
		} {
			var b bytes.Buffer
			slog.New(handler(&b)).Info("signed in", what, v)
			line := b.String()
			if strings.Contains(line, "eyJ") || strings.Contains(line, "srt1_") || strings.Contains(line, "0xc0") &&
				name == "json" {
				t.Errorf("%s, %s: %s", name, what, line)
			}
			if what == "token" && !strings.Contains(line, "[redacted]") {
				t.Errorf("%s, %s: %s", name, what, line)
			}
			if !strings.Contains(line, "[redacted]") && !strings.Contains(line, "Token.Reveal") && what != "pointer" {
				t.Errorf("%s, %s: %s", name, what, line)
			}
		}
	}
}
