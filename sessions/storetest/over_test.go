package storetest_test

import (
	"context"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// over replaces whole methods of a store.
type over struct {
	sessions.Store
	create        func(context.Context, sessions.Session) error
	get           func(context.Context, string) (sessions.Session, error)
	refresh       func(context.Context, sessions.RefreshParams) (sessions.RefreshResult, error)
	list          func(context.Context, sessions.ListParams) ([]sessions.Session, error)
	end           func(context.Context, sessions.EndParams) (sessions.Session, error)
	endMany       func(context.Context, sessions.EndManyParams) ([]sessions.Session, error)
	endDependents func(context.Context, sessions.EndDependentsParams) ([]sessions.Session, error)
	redeem        func(context.Context, sessions.RedeemParams) (sessions.Session, error)
	ended         func(context.Context, time.Time) ([]sessions.EndedSession, error)
	prune         func(context.Context, sessions.PruneParams) (int, error)
	now           func(context.Context) (time.Time, error)
}

func (o *over) Create(ctx context.Context, s sessions.Session) error {
	if o.create != nil {
		return o.create(ctx, s)
	}
	return o.Store.Create(ctx, s)
}

func (o *over) Get(ctx context.Context, id string) (sessions.Session, error) {
	if o.get != nil {
		return o.get(ctx, id)
	}
	return o.Store.Get(ctx, id)
}

func (o *over) Refresh(ctx context.Context, p sessions.RefreshParams) (sessions.RefreshResult, error) {
	if o.refresh != nil {
		return o.refresh(ctx, p)
	}
	return o.Store.Refresh(ctx, p)
}

func (o *over) List(ctx context.Context, p sessions.ListParams) ([]sessions.Session, error) {
	if o.list != nil {
		return o.list(ctx, p)
	}
	return o.Store.List(ctx, p)
}

func (o *over) End(ctx context.Context, p sessions.EndParams) (sessions.Session, error) {
	if o.end != nil {
		return o.end(ctx, p)
	}
	return o.Store.End(ctx, p)
}

func (o *over) EndMany(ctx context.Context, p sessions.EndManyParams) ([]sessions.Session, error) {
	if o.endMany != nil {
		return o.endMany(ctx, p)
	}
	return o.Store.EndMany(ctx, p)
}

func (o *over) EndDependents(ctx context.Context, p sessions.EndDependentsParams) ([]sessions.Session, error) {
	if o.endDependents != nil {
		return o.endDependents(ctx, p)
	}
	return o.Store.EndDependents(ctx, p)
}

func (o *over) Redeem(ctx context.Context, p sessions.RedeemParams) (sessions.Session, error) {
	if o.redeem != nil {
		return o.redeem(ctx, p)
	}
	return o.Store.Redeem(ctx, p)
}

func (o *over) Ended(ctx context.Context, since time.Time) ([]sessions.EndedSession, error) {
	if o.ended != nil {
		return o.ended(ctx, since)
	}
	return o.Store.Ended(ctx, since)
}

func (o *over) Prune(ctx context.Context, p sessions.PruneParams) (int, error) {
	if o.prune != nil {
		return o.prune(ctx, p)
	}
	return o.Store.Prune(ctx, p)
}

func (o *over) Now(ctx context.Context) (time.Time, error) {
	if o.now != nil {
		return o.now(ctx)
	}
	return o.Store.Now(ctx)
}
