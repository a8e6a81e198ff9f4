package sessions_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func TestEveryWrongFieldIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t, func(c *sessions.Config) {
		c.Impersonation.RequireActor, c.Impersonation.RequireReason = true, true
	})
	long := strings.Repeat("x", 501)
	create := func(p sessions.CreateParams) error {
		_, err := k.Create(t.Context(), p)
		return err
	}
	for name, c := range map[string]struct {
		err    error
		fields []string
	}{
		"a session": {
			create(sessions.CreateParams{
				TTL: -1, Actor: "a\nb", Reason: long, By: long, AuthTime: start.Add(time.Hour),
			}),
			[]string{"UserID", "TTL", "Reason", "Actor", "By", "Actor", "AuthTime"},
		},
		"an impersonation": {
			create(sessions.CreateParams{UserID: long, Impersonation: true, TTL: time.Second, AuthTime: start}),
			[]string{"UserID", "TTL", "Actor", "Reason", "AuthTime"},
		},
		"an end of many": {
			func() error {
				_, err := k.EndMany(t.Context(), sessions.EndManyParams{ExceptID: "x", Reason: "a\nb", By: long})
				return err
			}(),
			[]string{"UserID", "ExceptID", "Reason", "By"},
		},
		"an end": {
			func() error {
				id := k.create(t, sessions.CreateParams{}).Session.ID
				_, err := k.End(t.Context(), sessions.EndParams{ID: id, Reason: "a\nb", By: long})
				return err
			}(),
			[]string{"Reason", "By"},
		},
		"a list": {
			func() error {
				_, err := k.List(t.Context(), long, sessions.ListOptions{Limit: 201, Cursor: "x"})
				return err
			}(),
			[]string{"UserID", "Limit", "Cursor"},
		},
	} {
		if !errors.Is(c.err, sessions.ErrInvalidParams) {
			t.Errorf("%s: %v, want ErrInvalidParams", name, c.err)
			continue
		}
		text, _ := strings.CutPrefix(c.err.Error(), "sessions: invalid parameters: ")
		var named []string
		for line := range strings.SplitSeq(text, "; ") {
			field, _, _ := strings.Cut(line, " ")
			named = append(named, field)
		}
		if strings.Join(named, " ") != strings.Join(c.fields, " ") {
			t.Errorf("%s: %q names %q, want %q", name, c.err, named, c.fields)
		}
		// On the host's route the answer says as much.
		if e := sessions.NewAPIError(c.err); e.Status != http.StatusBadRequest || !strings.Contains(e.Message, text) {
			t.Errorf("%s: answered with %v", name, e)
		}
	}
}
