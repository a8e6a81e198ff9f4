package core

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sessile-go/sessile/sessions"
)

// Create implements [sessions.Store] with one INSERT. If that adds no session that has a parent,
// one SELECT says why. It returns [sessions.ErrConflict] if the id exists. It returns another error
// without asking the database if the id is not a canonical UUID or a text cannot be stored.
func (s *Store) Create(ctx context.Context, sess sessions.Session) error {
	if !isID(sess.ID) {
		return errors.New("store: create: ID is not a UUID in its canonical spelling")
	}
	if !storable(sess.UserID, sess.Actor, sess.Reason, sess.CreatedBy, sess.Client.IP, sess.Client.UserAgent,
		string(sess.EndReason), sess.EndedBy, sess.HandoffHash) {
		return errText("create")
	}
	if sess.ParentSessionID != "" && !isID(sess.ParentSessionID) {
		return s.answer(ctx, "create", sessions.ErrNotFound)
	}
	row := newRow(sess)
	if !s.cfg.AuditLog || !sess.Impersonation {
		return s.insert(ctx, row)
	}
	o := occurrence{at: row.CreatedAt, event: sessions.EventCreated, client: sess.Client}
	if sess.HandoffHash != "" {
		o.event = sessions.EventHandedOff
	}
	return s.step(ctx, "create", func(in *Store) error {
		if err := in.insert(ctx, row); err != nil {
			return err
		}
		return in.record(ctx, "create", []auditRow{newAuditRow(row, o)})
	})
}

func (s *Store) insert(ctx context.Context, row Row) error {
	insert := s.stmts.create
	if row.ParentSessionID != nil {
		insert = s.stmts.createDependent
	}
	n, err := s.execute(ctx, "create", insert.text, rowFields.values(&row))
	switch {
	case err != nil || n > 0:
		return err
	case row.ParentSessionID != nil:
		if _, err := s.get(ctx, "create", row.ID); err != nil {
			return err // ErrNotFound, so there was no conflict
		}
	}
	return sessions.ErrConflict
}

// Get implements [sessions.Store] with one SELECT by primary key.
func (s *Store) Get(ctx context.Context, id string) (sessions.Session, error) {
	return s.get(ctx, "get", id)
}

func (s *Store) get(ctx context.Context, op, id string) (sessions.Session, error) {
	if !isID(id) {
		return sessions.Session{}, s.answer(ctx, op, sessions.ErrNotFound)
	}
	row, err := first(query(ctx, s, op, s.stmts.get, named{"id": id}, rowFields.targets))
	if err != nil {
		return sessions.Session{}, err
	}
	return row.Session(), nil
}

// Refresh implements [sessions.Store] with one UPDATE, which also ends the session if the protocol
// says so. It returns an error in a transaction of the host, see [Store.In].
func (s *Store) Refresh(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
	if s.joined && s.fault == nil {
		return sessions.RefreshResult{}, errJoined("refresh")
	}
	if !storable(p.Client.IP, p.Client.UserAgent) {
		return sessions.RefreshResult{}, errText("refresh")
	}
	if !isID(p.ID) {
		return sessions.RefreshResult{}, s.answer(ctx, "refresh", sessions.ErrNotFound)
	}

	args := moment(p.Moment)
	now := p.Moment.Now.UnixMicro()
	args["id"] = p.ID
	args["presented"] = p.Presented
	args["next"] = p.Presented + 1
	args["margin"] = p.Moment.Now.Add(p.ImpersonationMargin).UnixMicro()
	args["client_ip"] = p.Client.IP
	args["client_user_agent"] = p.Client.UserAgent

	args["window_cutoff"] = never
	if cutoff, ok := p.Rotation.WindowCutoff(p.Moment.Now); ok {
		args["window_cutoff"] = cutoff.UnixMicro()
	}
	args["max_recoveries"], args["slide_to"] = int64(p.Rotation.MaxRecoveries), always
	if p.Rotation.MaxRecoveries == 0 {
		args["max_recoveries"], args["slide_to"] = never, now
	}
	refused := sessions.OutcomeReplay
	if p.Rotation.MaxRecoveries > 0 {
		refused = sessions.OutcomeRecoveryLimit
	}
	args["parent_refused"] = int64(refused)
	args["parent_refused_reason"] = string(refused.EndReason())

	row, err := first(s.change(ctx, &s.stmts.refresh, p.Client, args))
	if err != nil {
		return sessions.RefreshResult{}, err
	}
	return sessions.RefreshResult{
		Session: row.Session(),
		State:   row.RefreshState(),
		Outcome: sessions.Outcome(row.RefreshOutcome),
	}, nil
}

// List implements [sessions.Store] with one SELECT, by an index of the sessions of one user in the
// order of the list.
func (s *Store) List(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
	if !storable(p.UserID) || p.OnlyID != "" && !isID(p.OnlyID) {
		return nil, s.answer(ctx, "list", nil)
	}
	args := moment(p.Moment)
	args["user_id"], args["only_id"], args["limit"] = p.UserID, p.OnlyID, int64(p.Limit)
	if p.After != nil {
		if !isID(p.After.ID) {
			return nil, errors.New("store: list: After.ID is not a UUID in its canonical spelling")
		}
		args["after_created_at"], args["after_id"] = p.After.CreatedAt.UnixMicro(), p.After.ID
	}
	list := s.stmts.list.with(p.OnlyID != "", !p.Impersonations, p.After != nil, p.Limit > 0)
	rows, err := query(ctx, s, "list", list, args, rowFields.targets)
	if err != nil {
		return nil, err
	}
	return values(rows), nil
}

// End implements [sessions.Store] with one UPDATE.
func (s *Store) End(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
	if !storable(p.By, string(p.Reason)) {
		return sessions.Session{}, errText("end")
	}
	if !isID(p.ID) || !storable(p.UserID) {
		return sessions.Session{}, s.answer(ctx, "end", sessions.ErrNotFound)
	}
	args := named{"id": p.ID, "user_id": p.UserID, "now": p.Now.UnixMicro(), "reason": string(p.Reason), "by": p.By}
	row, err := first(s.change(ctx, &s.stmts.end, sessions.Client{}, args, p.UserID != "", p.NoImpersonation))
	if err != nil {
		return sessions.Session{}, err
	}
	return row.Session(), nil
}

// EndMany implements [sessions.Store] with one UPDATE.
func (s *Store) EndMany(ctx context.Context, p sessions.EndManyParams) ([]sessions.Session, error) {
	if !storable(p.By, string(p.Reason)) {
		return nil, errText("end many")
	}
	if !storable(p.UserID) {
		return nil, s.answer(ctx, "end many", nil)
	}
	args := named{
		"user_id": p.UserID, "except_id": p.ExceptID,
		"now": p.Now.UnixMicro(), "reason": string(p.Reason), "by": p.By,
	}
	// No other spelling of an id is the id of a row.
	rows, err := s.change(ctx, &s.stmts.endMany, sessions.Client{}, args, isID(p.ExceptID))
	if err != nil {
		return nil, err
	}
	return values(rows), nil
}

// EndDependents implements [sessions.Store] with one UPDATE, by an index of the sessions that have
// a parent.
func (s *Store) EndDependents(ctx context.Context, p sessions.EndDependentsParams) ([]sessions.Session, error) {
	if !storable(p.By, string(p.Reason)) {
		return nil, errText("end dependents")
	}
	var ids []string
	for _, id := range p.ParentSessionIDs {
		if isID(id) { // no other spelling is the id of a row
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, s.answer(ctx, "end dependents", nil)
	}
	args := named{"ids": s.list(ids), "now": p.Now.UnixMicro(), "reason": string(p.Reason), "by": p.By}
	rows, err := s.change(ctx, &s.stmts.endDependents, sessions.Client{}, args)
	if err != nil {
		return nil, err
	}
	return values(rows), nil
}

// Redeem implements [sessions.Store] with one UPDATE, which also ends the session if the code was
// used before. It returns an error in a transaction of the host, see [Store.In].
func (s *Store) Redeem(ctx context.Context, p sessions.RedeemParams) (sessions.Session, error) {
	if s.joined && s.fault == nil {
		return sessions.Session{}, errJoined("redeem")
	}
	if !storable(p.Client.IP, p.Client.UserAgent) {
		return sessions.Session{}, errText("redeem")
	}
	if !isID(p.ID) || p.Hash == "" || !storable(p.Hash) { // not the hash of a code; rows without a code have ""
		return sessions.Session{}, s.answer(ctx, "redeem", sessions.ErrNotFound)
	}
	args := moment(p.Moment)
	args["id"], args["hash"] = p.ID, p.Hash
	args["client_ip"], args["client_user_agent"] = p.Client.IP, p.Client.UserAgent
	row, err := first(s.change(ctx, &s.stmts.redeem, p.Client, args))
	if err != nil {
		return sessions.Session{}, err
	}
	return row.Session(), nil
}

// Ended implements [sessions.Store] with one SELECT, by an index of the sessions that have ended.
func (s *Store) Ended(ctx context.Context, since time.Time) ([]sessions.EndedSession, error) {
	type row struct {
		id     string
		at     int64
		parent *string
	}
	args := named{"since": since.UnixMicro(), "forever": never}
	targets := func(r *row) []any { return []any{&r.id, &r.at, &r.parent} }
	rows, err := query(ctx, s, "ended", s.stmts.ended, args, targets)
	if err != nil {
		return nil, err
	}
	ended := make([]sessions.EndedSession, len(rows))
	for i, r := range rows {
		ended[i] = sessions.EndedSession{ID: r.id, EndedAt: fromMicro(r.at)}
		if r.parent != nil {
			ended[i].ParentSessionID = *r.parent
		}
	}
	return ended, nil
}

// Prune implements [sessions.Store] with one DELETE. It finds ended and expired sessions by index.
// Idle ones, whose time every refresh moves, it finds by reading the table.
func (s *Store) Prune(ctx context.Context, p sessions.PruneParams) (int, error) {
	if p.Limit < 1 {
		return 0, errors.New("store: prune: Limit has to be at least 1")
	}
	args := named{"limit": int64(p.Limit)}
	choice := 0
	for i, at := range []struct {
		name string
		time time.Time
	}{{"ended", p.EndedBefore}, {"expired", p.ExpiredBefore}, {"idle", p.IdleBefore}} {
		if !at.time.IsZero() {
			args[at.name] = at.time.UnixMicro()
			choice |= 1 << i
		}
	}
	if choice == 0 {
		return 0, s.answer(ctx, "prune", nil)
	}
	old := s.stmts.prune[choice]
	n, err := s.execute(ctx, "prune", old.text, old.bind(args))
	return int(n), err
}

// Now implements [sessions.Store]. It returns the clock of the Postgres server or, on SQLite, the
// clock of this process to the millisecond.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	rows, err := query(ctx, s, "now", s.stmts.now, nil, func(us *int64) []any { return []any{us} })
	if err != nil {
		return time.Time{}, err
	}
	if len(rows) != 1 {
		return time.Time{}, errors.New("store: now: the database did not answer with one row")
	}
	return fromMicro(rows[0]), nil
}

// list spells ids as the one argument of a statement: an array for Postgres, JSON for SQLite.
func (s *Store) list(ids []string) string {
	if s.dialect == Postgres {
		return `{` + strings.Join(ids, `,`) + `}`
	}
	return `["` + strings.Join(ids, `","`) + `"]`
}

// moment returns the arguments of the condition live.
func moment(m sessions.Moment) named {
	return named{"now": m.Now.UnixMicro(), "idle_cutoff": microOrAlways(m.IdleCutoff)}
}

func errJoined(op string) error {
	return fmt.Errorf("store: %s: cannot join a transaction, "+
		"because its rollback would undo the end of a replayed session", op)
}

// storable reports whether both databases take these texts. Postgres refuses zero bytes and
// everything that is not UTF-8.
func storable(texts ...string) bool {
	for _, t := range texts {
		if !utf8.ValidString(t) || strings.IndexByte(t, 0) >= 0 {
			return false
		}
	}
	return true
}

// errText returns an error that does not show the text, because a stranger may have sent it.
func errText(op string) error {
	return fmt.Errorf("store: %s: a text is not UTF-8 or holds a zero byte", op)
}
