package proof_test

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/sessile-go/sessile/sessions"
)

// linKind is a kind of call.
type linKind string

const (
	linCreate  linKind = "create"
	linRefresh linKind = "refresh"
	linEnd     linKind = "end"
	linEndMany linKind = "end many"
	linList    linKind = "list"
	linGet     linKind = "get"
)

// linVerdict is how a call answers.
type linVerdict string

const (
	linOK       linVerdict = "ok"
	linNotFound linVerdict = "not found"
	linMissing  linVerdict = "refused: unknown session"
	linOver     linVerdict = "refused: ended"
	linExpired  linVerdict = "refused: expired"
	linIdle     linVerdict = "refused: idle"
	linReplay   linVerdict = "refused: replay"
	linLimit    linVerdict = "refused: recovery limit"
	// linUnknown: the caller learned that the result is unknown.
	linUnknown linVerdict = "unknown"
)

// linSlots is how many sessions a user of a history may have.
const linSlots = 10

// linNone is a slot or a position in an answer that is empty.
const linNone int8 = -1

// linInput is what a call asks for. Times are microseconds.
type linInput struct {
	kind       linKind
	slot       int8 // the session; of an end of many the one to keep
	presented  int64
	now        int64 // by the clock of the replica that was called
	idleCutoff int64 // math.MinInt64 if nothing idles, or it does not matter, as for an end
	expires    int64 // of a new session
	reason     sessions.EndReason
	by         string
}

// linAnswer is what the caller saw.
type linAnswer struct {
	verdict linVerdict
	event   sessions.EventType
	counter int64 // of the refresh token that was handed out
	seen    [linSlots]linSeen
}

// linSeen is a session in an answer.
type linSeen struct {
	slot        int8
	last, ended int64
	reason      sessions.EndReason
	by          string
}

// linRow is a session in the model.
type linRow struct {
	phase                                 linPhase
	created, expires, last                int64
	current, parent, answered, recoveries int64
	ended                                 int64
	reason                                sessions.EndReason
	by                                    string
}

type linPhase int8

const (
	linAbsent linPhase = iota
	linLive
	linEnded
)

// linState is all sessions of a user.
type linState [linSlots]linRow

var linNobody = func() (seen [linSlots]linSeen) {
	for i := range seen {
		seen[i].slot = linNone
	}
	return seen
}()

func (r linRow) seen(slot int8) linSeen { return linSeen{slot, r.last, r.ended, r.reason, r.by} }

// refusal is why a row is not live at a moment, and "" if it is.
func (r linRow) refusal(in linInput) linVerdict {
	switch {
	case r.phase == linAbsent:
		return linMissing
	case r.phase == linEnded:
		return linOver
	case in.now >= r.expires:
		return linExpired
	case r.last <= in.idleCutoff:
		return linIdle
	default:
		return ""
	}
}

func (r linRow) end(in linInput) linRow {
	r.phase, r.ended, r.reason, r.by = linEnded, in.now, in.reason, in.by
	return r
}

// linModel is the sequential specification.
type linModel struct {
	rotation sessions.Rotation
	order    []int8 // slots, newest session first
}

// apply is a call on a state, and the one answer to it.
func (m linModel) apply(s linState, in linInput) (linState, linAnswer) {
	a := linAnswer{verdict: linOK, seen: linNobody}
	switch in.kind {
	case linCreate:
		s[in.slot] = linRow{
			phase: linLive, created: in.now, last: in.now, expires: in.expires, current: 1, answered: in.now,
		}
		a.counter = 1
		a.seen[0] = s[in.slot].seen(in.slot)
	case linRefresh:
		return m.refresh(s, in)
	case linGet:
		if s[in.slot].phase == linAbsent {
			return s, linAnswer{verdict: linNotFound, seen: linNobody}
		}
		a.seen[0] = s[in.slot].seen(in.slot)
	case linEnd:
		if s[in.slot].refusal(in) != "" {
			return s, linAnswer{verdict: linNotFound, seen: linNobody}
		}
		s[in.slot] = s[in.slot].end(in)
		a.seen[0] = s[in.slot].seen(in.slot)
	case linEndMany:
		n := 0
		for slot, r := range s {
			if r.refusal(in) == "" && int8(slot) != in.slot {
				s[slot] = r.end(in)
				a.seen[n] = s[slot].seen(int8(slot))
				n++
			}
		}
	case linList:
		n := 0
		for _, slot := range m.order {
			if s[slot].refusal(in) == "" {
				a.seen[n] = s[slot].seen(slot)
				n++
			}
		}
	}
	return s, a
}

func (m linModel) refresh(s linState, in linInput) (linState, linAnswer) {
	r := s[in.slot]
	if why := r.refusal(in); why != "" {
		return s, linAnswer{verdict: why, seen: linNobody}
	}
	next, outcome := m.rotation.Next(sessions.RefreshState{
		Current: r.current, Parent: r.parent, AnsweredAt: time.UnixMicro(r.answered), Recoveries: r.recoveries,
	}, in.presented, time.UnixMicro(in.now))
	r.current, r.parent, r.answered, r.recoveries = next.Current, next.Parent, next.AnsweredAt.UnixMicro(),
		next.Recoveries
	a := linAnswer{verdict: linOK, seen: linNobody}
	switch outcome {
	case sessions.OutcomeReplay, sessions.OutcomeRecoveryLimit:
		r.phase, r.ended, r.reason = linEnded, in.now, outcome.EndReason()
		a.verdict, a.event = linReplay, sessions.EventReplay
		if outcome == sessions.OutcomeRecoveryLimit {
			a.verdict, a.event = linLimit, sessions.EventRecoveryLimit
		}
	default:
		r.last = max(r.last, in.now)
		a.event = map[sessions.Outcome]sessions.EventType{
			sessions.OutcomeRotated:   sessions.EventRotated,
			sessions.OutcomeOverlap:   sessions.EventOverlap,
			sessions.OutcomeRecovered: sessions.EventRecovered,
			sessions.OutcomeAhead:     sessions.EventAhead,
		}[outcome]
		a.counter = r.current
		a.seen[0] = r.seen(in.slot)
	}
	s[in.slot] = r
	return s, a
}

var linSeed = maphash.MakeSeed()

// linAs is v, which the checker was given as a T.
func linAs[T any](v any) T {
	as, ok := v.(T)
	if !ok {
		panic(fmt.Sprintf("the checker was given a %T", v))
	}
	return as
}

// porcupine is the model as the checker wants it. A call with an unknown answer
// does what it would; never having happened is the same as happening after
// everything else, which its open end allows.
func (m linModel) porcupine() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return linState{} },
		Step: func(state, input, output any) (bool, any) {
			next, want := m.apply(linAs[linState](state), linAs[linInput](input))
			got := linAs[linAnswer](output)
			return got.verdict == linUnknown || got == want, next
		},
		Equal:             func(a, b any) bool { return linAs[linState](a) == linAs[linState](b) },
		Hash:              func(state any) uint64 { return maphash.Comparable(linSeed, linAs[linState](state)) },
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%v → %v", in, out) },
		DescribeState:     func(state any) string { return fmt.Sprint(state) },
	}
}

// The forms below are for the reader of a failure.

func linTime(us int64) string {
	if us == 0 {
		return "-"
	}
	return time.UnixMicro(us).UTC().Sub(linStart).String()
}

func (in linInput) String() string {
	var b strings.Builder
	b.WriteString(string(in.kind))
	if in.slot != linNone {
		fmt.Fprintf(&b, " #%d", in.slot)
	}
	fmt.Fprintf(&b, " at %s", linTime(in.now))
	if in.kind == linRefresh {
		fmt.Fprintf(&b, " with %d", in.presented)
	}
	if in.by != "" {
		fmt.Fprintf(&b, " by %s", in.by)
	}
	return b.String()
}

func (a linAnswer) String() string {
	var b strings.Builder
	b.WriteString(string(a.verdict))
	if a.event != "" {
		fmt.Fprintf(&b, " %s", a.event)
	}
	if a.counter != 0 {
		fmt.Fprintf(&b, " %d", a.counter)
	}
	for _, s := range a.seen {
		if s.slot != linNone {
			fmt.Fprintf(&b, " [#%d used %s", s.slot, linTime(s.last))
			if s.ended != 0 {
				fmt.Fprintf(&b, " ended %s %s %s", linTime(s.ended), s.reason, s.by)
			}
			b.WriteString("]")
		}
	}
	return b.String()
}

func (s linState) String() string {
	var b strings.Builder
	for slot, r := range s {
		if r.phase == linAbsent {
			continue
		}
		fmt.Fprintf(&b, "#%d %d<%d answered %s recoveries %d used %s", slot, r.parent, r.current, linTime(r.answered),
			r.recoveries, linTime(r.last))
		if r.phase == linEnded {
			fmt.Fprintf(&b, " ended %s %s %s", linTime(r.ended), r.reason, r.by)
		}
		b.WriteString("; ")
	}
	return b.String()
}

// linCall is a call as its caller saw it, with the names of sessions.
type linCall struct {
	worker    int
	in        linInput
	user, id  string // id: as linInput.slot
	call, ret int64  // by a counter that all callers share
	verdict   linVerdict
	event     sessions.EventType
	counter   int64
	seen      []sessions.Session
	err       error
}

// linPartition is what happened to one user.
type linPartition struct {
	model linModel
	ops   []porcupine.Operation
}

// linSplit sorts calls by user, gives sessions slots and, if an end of many is a step for
// each session, splits those. The last calls of each user have to be
// reads of each session, without faults.
func linSplit(rotation sessions.Rotation, calls []*linCall, splitEndMany bool) (map[string]linPartition, error) {
	parts := make(map[string]linPartition)
	byUser := make(map[string][]*linCall)
	for _, c := range calls {
		byUser[c.user] = append(byUser[c.user], c)
	}
	for user, calls := range byUser {
		p, err := linPartitionOf(rotation, calls, splitEndMany)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", user, err)
		}
		parts[user] = p
	}
	return parts, nil
}

func linPartitionOf(rotation sessions.Rotation, calls []*linCall, splitEndMany bool) (linPartition, error) {
	slices.SortFunc(calls, func(a, b *linCall) int { return cmp.Compare(a.call, b.call) })
	final := make(map[string]*linCall)
	for _, c := range calls {
		if c.in.kind == linGet {
			final[c.id] = c
		}
	}

	for id, c := range final {
		if c.verdict == linUnknown {
			return linPartition{}, fmt.Errorf("the last read of %s: %w", id, c.err)
		}
	}

	slots := map[string]int8{"": linNone}
	var created []*linCall
	for _, c := range calls {
		// A create of which nobody saw a trace did not happen, or after the end.
		if c.in.kind == linCreate && c.id != "" && (c.verdict == linOK || final[c.id] != nil &&
			final[c.id].verdict == linOK) {
			slots[c.id] = int8(len(created))
			created = append(created, c)
		}
	}
	if len(created) > linSlots {
		return linPartition{}, fmt.Errorf("%d sessions", len(created))
	}
	p := linPartition{model: linModel{rotation: rotation}}
	newest := slices.Clone(created)
	slices.SortFunc(newest, func(a, b *linCall) int {
		return cmp.Or(cmp.Compare(b.in.now, a.in.now), cmp.Compare(b.id, a.id))
	})
	for _, c := range newest {
		p.model.order = append(p.model.order, slots[c.id])
	}

	over := linOvers(calls)
	for _, c := range calls {
		if c.verdict == linUnknown && linWithoutTrace(c, final) {
			continue
		}
		open := int64(math.MaxInt64)
		if at, known := over[c.id]; known && c.in.kind == linRefresh {
			// Once the session is seen to be over it does nothing, and it may as well
			// have done nothing just before. That saves the checker most of its work.
			if open = at; open < c.call && c.verdict == linUnknown {
				continue
			}
		}
		a := linAnswer{verdict: c.verdict, event: c.event, counter: c.counter, seen: linNobody}
		seen := slices.Clone(c.seen)
		if c.in.kind == linEndMany {
			slices.SortFunc(seen, func(a, b sessions.Session) int { return cmp.Compare(slots[a.ID], slots[b.ID]) })
		}
		for i, s := range seen {
			slot, known := slots[s.ID]
			if !known || i >= linSlots {
				return linPartition{}, fmt.Errorf("%s answered with a session that nobody created: %s", c.in.kind, s.ID)
			}
			a.seen[i] = linSeen{slot, s.LastUsedAt.UnixMicro(), 0, s.EndReason, s.EndedBy}
			if !s.EndedAt.IsZero() {
				a.seen[i].ended = s.EndedAt.UnixMicro()
			}
		}
		slot, known := slots[c.id]
		if !known {
			// Only a final read of a session whose create left no trace.
			if c.in.kind == linGet && c.verdict == linNotFound {
				continue
			}
			return linPartition{}, fmt.Errorf("%s of a session that nobody created: %s", c.in.kind, c.id)
		}
		c.in.slot = slot
		op := porcupine.Operation{ClientId: c.worker, Input: c.in, Call: c.call, Output: a, Return: c.ret}
		if c.verdict == linUnknown {
			op.Return = open
		}
		if c.in.kind == linEndMany && splitEndMany {
			p.ops = append(p.ops, linOneByOne(op, created)...)
			continue
		}
		p.ops = append(p.ops, op)
	}
	p.ops = slices.DeleteFunc(p.ops, func(op porcupine.Operation) bool { return linIdleTalk(op, created, over) })
	return p, nil
}

// linIdleTalk reports whether a call could only be refused, and was: its
// session was known to be over, or is expired at the time by the caller's clock,
// which no order of calls can change. Such calls fit in anywhere, and several at
// once are what takes the checker longest.
func linIdleTalk(op porcupine.Operation, created []*linCall, over map[string]int64) bool {
	in, verdict := linAs[linInput](op.Input), linAs[linAnswer](op.Output).verdict
	if in.slot == linNone || in.kind != linEnd && in.kind != linRefresh {
		return false
	}
	c := created[in.slot]
	if at, known := over[c.id]; known && at < op.Call {
		return in.kind == linEnd && verdict == linNotFound || verdict == linOver
	}
	return in.now >= c.in.expires && in.kind == linEnd && verdict == linNotFound
}

// linWithoutTrace reports whether it makes no difference that a call may have
// happened. Each end signs its name, and a session ends once: if the last reader
// finds another name, or none, this one did nothing before.
func linWithoutTrace(c *linCall, final map[string]*linCall) bool {
	switch c.in.kind {
	case linList, linGet:
		return true
	case linCreate:
		return final[c.id] == nil || final[c.id].verdict != linOK
	case linEnd, linEndMany:
		for _, f := range final {
			if len(f.seen) == 1 && f.seen[0].EndedBy == c.in.by {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// linOneByOne makes an end of many an end of each session that was there, or may
// have been.
func linOneByOne(op porcupine.Operation, created []*linCall) []porcupine.Operation {
	in, out := linAs[linInput](op.Input), linAs[linAnswer](op.Output)
	var ops []porcupine.Operation
	for slot, c := range created {
		if c.call > op.Return || int8(slot) == in.slot {
			continue
		}
		one := op
		oneIn := in
		oneIn.kind, oneIn.slot = linEnd, int8(slot)
		a := linAnswer{verdict: linNotFound, seen: linNobody}
		if out.verdict == linUnknown {
			a.verdict = linUnknown
		}
		for _, s := range out.seen {
			if s.slot == int8(slot) {
				a.verdict, a.seen[0] = linOK, s
			}
		}
		one.Input, one.Output = oneIn, a
		ops = append(ops, one)
	}
	return ops
}

// linOvers returns for each session when the first caller learned that it had ended.
func linOvers(calls []*linCall) map[string]int64 {
	overs := make(map[string]int64)
	over := func(id string, at int64) {
		if first, known := overs[id]; !known || at < first {
			overs[id] = at
		}
	}
	for _, c := range calls {
		switch c.verdict {
		case linReplay, linLimit, linOver:
			over(c.id, c.ret)
		case linOK:
			for _, s := range c.seen {
				if !s.EndedAt.IsZero() {
					over(s.ID, c.ret)
				}
			}
		default:
		}
	}
	return overs
}

// linLate finds refreshes that succeeded although they began after somebody had learned of
// the end of their session. The checker would find them, too; this needs no model.
func linLate(calls []*linCall) error {
	overs := linOvers(calls)
	for _, c := range calls {
		if at, known := overs[c.id]; known && c.in.kind == linRefresh && c.verdict == linOK && c.call > at {
			return fmt.Errorf("session %s was known to be over at step %d and was refreshed from step %d on: %v %v",
				c.id, at, c.call, c.in, c.event)
		}
	}
	return nil
}
