package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// start is when the sessions begin. It has microseconds that are not whole milliseconds, and falls in an hour that the
// clocks of Europe skip.
var start = time.Date(2026, time.March, 29, 1, 30, 0, 123457000, time.UTC)

const (
	micro   = time.Microsecond
	day     = 24 * time.Hour
	ttl     = 30 * day
	overlap = time.Minute
)

// The settings of the refresh protocol, with their defaults filled in.
var (
	unlimited = sessions.Rotation{Overlap: overlap}
	limited   = sessions.Rotation{Overlap: overlap, MaxRecoveries: 2}
	never     = sessions.Rotation{Overlap: overlap, MaxRecoveries: sessions.NoRecovery}
	strict    = sessions.StrictRotation()
)

// id returns the n-th session id, in the order of n.
func id(n int) string { return fmt.Sprintf("0195e000-0000-7000-8000-%012x", n) }

// session returns a live session with every field set.
func session(n int, user string) sessions.Session {
	return sessions.Session{
		ID: id(n), UserID: user,
		CreatedAt: start, LastUsedAt: start, ExpiresAt: start.Add(ttl), AuthTime: start.Add(-7 * time.Second),
		CreatedBy: "backend", Reason: "sign-in",
		Client: sessions.Client{IP: "192.0.2.7", UserAgent: "first/1.0"},
	}
}

// impersonation returns a session in which somebody else acts as the user.
func impersonation(n int, user string) sessions.Session {
	s := session(n, user)
	s.Impersonation, s.Actor, s.AuthTime = true, "support-17", time.Time{}
	return s
}

// created returns s, created d later.
func created(s sessions.Session, d time.Duration) sessions.Session {
	s.CreatedAt, s.LastUsedAt = s.CreatedAt.Add(d), s.LastUsedAt.Add(d)
	return s
}

// ended returns s after its end.
func ended(s sessions.Session, at time.Time, reason sessions.EndReason, by string) sessions.Session {
	s.EndedAt, s.EndReason, s.EndedBy = at, reason, by
	return s
}

// at returns the moment d after the start, without an idle timeout.
func at(d time.Duration) sessions.Moment { return sessions.Moment{Now: start.Add(d)} }

// kit makes the calls that a case is not about, and collects faults. Its methods are for the goroutine of the case.
type kit struct {
	ctx    context.Context
	store  sessions.Store
	failed []error
}

func (k *kit) errorf(format string, args ...any) {
	k.failed = append(k.failed, fmt.Errorf(format, args...))
}

func (k *kit) create(all ...sessions.Session) {
	for _, s := range all {
		if err := k.store.Create(k.ctx, s); err != nil {
			k.errorf("Create(%s): %w", s.ID, err)
		}
	}
}

// holds checks that Get finds exactly these sessions.
func (k *kit) holds(all ...sessions.Session) {
	for _, want := range all {
		got, err := k.store.Get(k.ctx, want.ID)
		if err != nil {
			k.errorf("Get(%s): %w", want.ID, err)
			continue
		}
		k.same("Get("+want.ID+")", got, want)
	}
}

// gone checks that Get returns ErrNotFound for these sessions.
func (k *kit) gone(all ...sessions.Session) {
	for _, s := range all {
		got, err := k.store.Get(k.ctx, s.ID)
		k.refused("Get("+s.ID+")", err, sessions.ErrNotFound)
		k.zero("Get("+s.ID+")", got == sessions.Session{})
	}
}

// refresh calls Refresh and expects an answer.
func (k *kit) refresh(p sessions.RefreshParams) sessions.RefreshResult {
	r, err := k.store.Refresh(k.ctx, p)
	if err != nil {
		k.errorf("Refresh(%d): %w", p.Presented, err)
	}
	return r
}

// rotates presents the counter that must be the current one of a session, at the start and in
// strict rotation. Any other counter would end the session or jump ahead.
func (k *kit) rotates(what string, s sessions.Session, current int64) {
	got := k.refresh(sessions.RefreshParams{ID: s.ID, Presented: current, Rotation: strict, Moment: at(0)})
	if got.Outcome != rotated {
		k.errorf("%s: counter %d is not the current one of %s: outcome is %d", what, current, s.ID, got.Outcome)
	}
	k.sameState(what, got.State, sessions.RefreshState{Current: current + 1, Parent: current, AnsweredAt: start})
}

// noRefresh calls Refresh and expects ErrNotFound.
func (k *kit) noRefresh(what string, p sessions.RefreshParams) {
	r, err := k.store.Refresh(k.ctx, p)
	k.refused("Refresh, "+what, err, sessions.ErrNotFound)
	k.zero("Refresh, "+what, r == sessions.RefreshResult{})
}

// noEnd calls End and expects ErrNotFound.
func (k *kit) noEnd(what string, p sessions.EndParams) {
	s, err := k.store.End(k.ctx, p)
	k.refused("End, "+what, err, sessions.ErrNotFound)
	k.zero("End, "+what, s == sessions.Session{})
}

// lists checks that List returns exactly these sessions in this order.
func (k *kit) lists(what string, p sessions.ListParams, want ...sessions.Session) {
	got, err := k.store.List(k.ctx, p)
	if err != nil {
		k.errorf("List, %s: %w", what, err)
		return
	}
	if g, w := ids(got), ids(want); g != w {
		k.errorf("List, %s: got %s, want %s", what, g, w)
		return
	}
	for i := range want {
		k.same("List, "+what, got[i], want[i])
	}
}

// endMany checks that EndMany ends exactly these sessions, in any order.
func (k *kit) endMany(what string, p sessions.EndManyParams, want ...sessions.Session) {
	got, err := k.store.EndMany(k.ctx, p)
	if err != nil {
		k.errorf("EndMany, %s: %w", what, err)
		return
	}
	k.endedAll("EndMany, "+what, got, want, p.Now, p.Reason, p.By)
}

// endedAll checks that got are exactly the sessions of want, in any order, after
// their end, and that Get agrees.
func (k *kit) endedAll(what string, got, want []sessions.Session, at time.Time, reason sessions.EndReason, by string) {
	left := make(map[string]sessions.Session)
	for _, s := range want {
		left[s.ID] = ended(s, at, reason, by)
	}
	for _, s := range got {
		w, ok := left[s.ID]
		if !ok {
			k.errorf("%s: ended %s of user %q as well, or twice", what, s.ID, s.UserID)
			continue
		}
		delete(left, s.ID)
		k.same(what, s, w)
		k.holds(w)
	}
	for id := range left {
		k.errorf("%s: %s is not among those returned", what, id)
	}
}

// prune calls Prune and expects it to delete n sessions.
func (k *kit) prune(what string, p sessions.PruneParams, n int) {
	got, err := k.store.Prune(k.ctx, p)
	if err != nil || got != n {
		k.errorf("Prune, %s: got %d and error %v, want %d", what, got, err, n)
	}
}

// refused checks that err is want.
func (k *kit) refused(what string, err, want error) {
	if !errors.Is(err, want) {
		k.errorf("%s: got error %v, want one that is %q", what, err, want)
	}
}

// zero checks the other result of a call that failed.
func (k *kit) zero(what string, ok bool) {
	if !ok {
		k.errorf("%s: the result next to the error is not the zero value", what)
	}
}

// same checks that two sessions are equal and that the times of got are in UTC: callers compare sessions with ==.
func (k *kit) same(what string, got, want sessions.Session) {
	for _, f := range []struct {
		name      string
		got, want time.Time
	}{
		{"CreatedAt", got.CreatedAt, want.CreatedAt},
		{"LastUsedAt", got.LastUsedAt, want.LastUsedAt},
		{"ExpiresAt", got.ExpiresAt, want.ExpiresAt},
		{"AuthTime", got.AuthTime, want.AuthTime},
		{"EndedAt", got.EndedAt, want.EndedAt},
		{"HandoffExpiresAt", got.HandoffExpiresAt, want.HandoffExpiresAt},
	} {
		k.sameTime(what+": "+f.name, f.got, f.want)
	}
	for _, f := range []struct {
		name      string
		got, want any
	}{
		{"ID", got.ID, want.ID},
		{"UserID", got.UserID, want.UserID},
		{"CreatedBy", got.CreatedBy, want.CreatedBy},
		{"Impersonation", got.Impersonation, want.Impersonation},
		{"Actor", got.Actor, want.Actor},
		{"ParentSessionID", got.ParentSessionID, want.ParentSessionID},
		{"Reason", got.Reason, want.Reason},
		{"Client", got.Client, want.Client},
		{"HandoffHash", got.HandoffHash, want.HandoffHash},
		{"EndReason", got.EndReason, want.EndReason},
		{"EndedBy", got.EndedBy, want.EndedBy},
	} {
		if f.got != f.want {
			k.errorf("%s: %s is %q, want %q", what, f.name, fmt.Sprint(f.got), fmt.Sprint(f.want))
		}
	}
}

func (k *kit) sameTime(what string, got, want time.Time) {
	switch {
	case !got.Equal(want):
		k.errorf("%s is %s, want %s", what, spell(got), spell(want))
	case got.Location() != time.UTC:
		k.errorf("%s is in zone %q, want UTC", what, got.Location())
	}
}

// sameState checks the state of the refresh protocol.
func (k *kit) sameState(what string, got, want sessions.RefreshState) {
	if got.Current != want.Current || got.Parent != want.Parent || got.Recoveries != want.Recoveries {
		k.errorf("%s: current, parent, recoveries are %d, %d, %d, want %d, %d, %d", what,
			got.Current, got.Parent, got.Recoveries, want.Current, want.Parent, want.Recoveries)
	}
	k.sameTime(what+": AnsweredAt", got.AnsweredAt, want.AnsweredAt)
}

func spell(t time.Time) string {
	if t.IsZero() {
		return "zero"
	}
	return t.Format(time.RFC3339Nano)
}

func ids(all []sessions.Session) string {
	var b strings.Builder
	for i, s := range all {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s.ID[max(0, len(s.ID)-6):])
	}
	return "[" + b.String() + "]"
}
