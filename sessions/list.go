package sessions

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// ListOptions says which sessions of a user to list.
type ListOptions struct {
	// Impersonations lists impersonations, too.
	Impersonations bool
	// Limit is the largest number of sessions, up to 200. Defaults to 0: all, or 200
	// for [Manager.ListOwn].
	Limit int
	// Cursor is [SessionList.Next] of the list before.
	Cursor string
	// onlyID is for impersonations, who see only themselves.
	onlyID string
}

// SessionList is a list of live sessions, newest first.
type SessionList struct {
	Sessions []Session
	// Next is the cursor of what follows; empty at the end.
	Next string
}

const maxListLimit = 200

// List returns the live sessions of a user, newest first. A user without any, or
// unknown, has an empty list.
//
// Errors: [ErrInvalidParams], [ErrUnavailable].
func (m *Manager) List(ctx context.Context, userID string, o ListOptions) (SessionList, error) {
	p := ListParams{UserID: userID, OnlyID: o.onlyID, Impersonations: o.Impersonations, Moment: m.moment(m.now())}
	switch {
	case !validUserID(userID):
		return SessionList{}, fmt.Errorf("%w: user id", ErrInvalidParams)
	case o.Limit < 0 || o.Limit > maxListLimit:
		return SessionList{}, fmt.Errorf("%w: limit must be 1 to %d", ErrInvalidParams, maxListLimit)
	case o.Limit > 0:
		p.Limit = o.Limit + 1 // one more tells whether there is a next page
	}
	if o.Cursor != "" {
		after, ok := parseCursor(o.Cursor)
		if !ok {
			return SessionList{}, fmt.Errorf("%w: cursor", ErrInvalidParams)
		}
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

// A cursor is the position of the last session seen. It is opaque to callers and
// no secret: the user id comes from the request each time.
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
