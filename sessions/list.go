package sessions

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// ListOptions selects sessions of a user.
type ListOptions struct {
	// Impersonations includes impersonations.
	Impersonations bool
	// Limit is the largest number of sessions, up to 200. Defaults to 0, which means all of them, or 200 for
	// [Manager.ListOwn].
	Limit int
	// Cursor is [SessionList.Next] of the list before.
	Cursor string
	// onlyID is for impersonations, who see only themselves.
	onlyID string
}

// SessionList is a list of live sessions, newest first.
type SessionList struct {
	Sessions []Session
	// Next is the cursor of the list that follows; empty at the end.
	Next string
}

const maxListLimit = 200

// List returns the live sessions of a user, newest first. A user without sessions, or an unknown one, has an empty
// list.
//
// Errors: [ErrInvalidParams], which names every field that is wrong; [ErrUnavailable].
func (m *Manager) List(ctx context.Context, userID string, o ListOptions) (SessionList, error) {
	if err := listFaults(userID, o).err(); err != nil {
		return SessionList{}, err
	}
	p := ListParams{UserID: userID, OnlyID: o.onlyID, Impersonations: o.Impersonations, Moment: m.moment(m.now())}
	if o.Limit > 0 {
		p.Limit = o.Limit + 1 // the additional one says whether there is a next page
	}
	if after, ok := parseCursor(o.Cursor); ok {
		p.After = &after
	}
	found, err := m.cfg.Store.List(ctx, p)
	if err != nil {
		return SessionList{}, unavailable("list", err)
	}
	list := SessionList{Sessions: found}
	if o.Limit > 0 && len(found) > o.Limit {
		list.Sessions = found[:o.Limit]
		last := list.Sessions[o.Limit-1]
		list.Next = cursor(ListPosition{CreatedAt: last.CreatedAt, ID: last.ID})
	}
	return list, nil
}

// listFaults holds the rules of a list. The HTTP API judges a request by the same ones.
func listFaults(userID string, o ListOptions) faults {
	var f faults
	f.form(validUserID(userID), "UserID", mustBeID)
	f.form(o.Limit >= 0 && o.Limit <= maxListLimit, "Limit", "must be from 1 to 200, or 0 for all")
	_, ok := parseCursor(o.Cursor)
	f.form(ok || o.Cursor == "", "Cursor", "must be the Next of the list before")
	return f
}

// A cursor is the position of the last session seen. It is opaque to callers but not secret: the user id comes from
// the request each time.
func cursor(p ListPosition) string {
	id := uuid.MustParse(p.ID)
	b := binary.BigEndian.AppendUint64(nil, uint64(p.CreatedAt.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(b, id[:]...))
}

func parseCursor(s string) (ListPosition, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != 24 || len(s) != 32 {
		return ListPosition{}, false
	}
	return ListPosition{
		CreatedAt: time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC(),
		ID:        uuid.UUID(b[8:]).String(),
	}, true
}
