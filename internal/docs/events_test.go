package docs_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// onEvent is sessions.Config.OnEvent: an audit trail, and two alarms.
func onEvent(audit *slog.Logger, alarm func(sessions.Event)) func(context.Context, sessions.Event) {
	return func(ctx context.Context, e sessions.Event) {
		audit.InfoContext(ctx, "session", "event", string(e.Type), "user", e.Session.UserID, "id", e.Session.ID,
			"actor", e.Session.Actor, "reason", string(e.Session.EndReason), "ip", e.Client.IP)
		if e.Type == sessions.EventForgedToken { // a secret has leaked: replace it, and wake somebody up
			alarm(e)
		}
		if e.Type == sessions.EventReplay { // two holders of one session: ask the user to check the account
			alarm(e)
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	alarms := 0
	kit := sessionstest.New(t, func(c *sessions.Config) {
		c.OnEvent = onEvent(slog.New(slog.NewTextHandler(&log, nil)), func(sessions.Event) { alarms++ })
	})
	first := kit.SignIn(t, "alice").Grant.RefreshToken.Reveal()
	for token := first; ; {
		grant, err := kit.Refresh(t.Context(), token, sessions.Client{})
		if err != nil {
			t.Fatal(err)
		}
		if token != first {
			break
		}
		token = grant.RefreshToken.Reveal()
	}
	if _, err := kit.Refresh(t.Context(), first, sessions.Client{IP: "192.0.2.1"}); err == nil {
		t.Error("a spent token was taken")
	}
	for _, want := range []string{
		"event=created user=alice", "event=rotated", "event=replay", "reason=replay ip=192.0.2.1",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, log.String())
		}
	}
	if alarms != 1 {
		t.Errorf("%d alarms", alarms)
	}
}
