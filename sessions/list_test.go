package sessions_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func TestListPages(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for i := range 7 {
		k.create(t, sessions.CreateParams{})
		if i%3 == 0 {
			k.Clock.Advance(time.Millisecond)
		}
	}
	all, err := k.List(t.Context(), "alice", sessions.ListOptions{})
	if err != nil || len(all.Sessions) != 7 || all.Next != "" {
		t.Fatalf("all: %d, %q, %v", len(all.Sessions), all.Next, err)
	}
	var paged []sessions.Session
	for cursor := ""; ; {
		page, err := k.List(t.Context(), "alice", sessions.ListOptions{Limit: 3, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		paged = append(paged, page.Sessions...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	for i := range all.Sessions {
		if len(paged) != 7 || paged[i] != all.Sessions[i] {
			t.Fatalf("pages %v\nwhole %v", paged, all.Sessions)
		}
	}
	for name, o := range map[string]sessions.ListOptions{
		"limit 201": {Limit: 201}, "limit -1": {Limit: -1}, "a cursor of garbage": {Limit: 1, Cursor: "x"},
		"an overlong cursor": {Limit: 1, Cursor: strings.Repeat("A", 33)},
	} {
		if _, err := k.List(t.Context(), "alice", o); !errors.Is(err, sessions.ErrInvalidParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
