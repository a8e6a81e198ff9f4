package sessions

import (
	"context"
	"time"
)

// This file limits how long a call of the store or of a hook may take, and decides who can cancel it:
//
//   - A call has [Config.StoreTimeout], or the time that its context allows if that is less. New limits all of them.
//   - A write begins only under a live context. After that the caller cannot cancel the write or what belongs to it. An
//     alarm must reach the host, and this process must remember what has ended, even if the caller has disconnected.
//     detached does this for the store, and promptEffects for the Manager.
//   - The calls of a Joined have the context of the host's transaction alone. If a statement is cancelled inside one,
//     some drivers drop the connection and others roll back silently.
//
// Ended and Prune have limits of their own.

// limited returns a copy of c whose store and hooks are limited to [Config.StoreTimeout].
func (c Config) limited() Config {
	host := c
	c.Store = limitedStore{host.Store, host.StoreTimeout}
	c.Users = func(ctx context.Context, userID string) (User, error) {
		ctx, cancel := context.WithTimeout(ctx, host.StoreTimeout)
		defer cancel()
		return host.Users(ctx, userID)
	}
	if host.MayImpersonate != nil {
		c.MayImpersonate = func(ctx context.Context, actor Identity, target User) error {
			ctx, cancel := context.WithTimeout(ctx, host.StoreTimeout)
			defer cancel()
			return host.MayImpersonate(ctx, actor, target)
		}
	}
	if host.Claims != nil {
		c.Claims = func(ctx context.Context, session Session, user User) (map[string]any, error) {
			ctx, cancel := context.WithTimeout(ctx, host.StoreTimeout)
			defer cancel()
			return host.Claims(ctx, session, user)
		}
	}
	if host.OnEvent != nil {
		c.OnEvent = func(ctx context.Context, event Event) {
			ctx, cancel := context.WithTimeout(ctx, host.StoreTimeout)
			defer cancel()
			host.OnEvent(ctx, event)
		}
	}
	return c
}

// limitedStore limits each call of a Store.
type limitedStore struct {
	Store
	limit time.Duration
}

// timed makes a call that reads.
func timed[T any](ctx context.Context, s limitedStore, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	return call(ctx)
}

// detached makes a call that writes.
func detached[T any](ctx context.Context, s limitedStore, call func(context.Context) (T, error)) (T, error) {
	if err := ctx.Err(); err != nil {
		var zero T
		return zero, err
	}
	return timed(context.WithoutCancel(ctx), s, call)
}

func (s limitedStore) Get(ctx context.Context, id string) (Session, error) {
	return timed(ctx, s, func(ctx context.Context) (Session, error) { return s.Store.Get(ctx, id) })
}

func (s limitedStore) List(ctx context.Context, p ListParams) ([]Session, error) {
	return timed(ctx, s, func(ctx context.Context) ([]Session, error) { return s.Store.List(ctx, p) })
}

func (s limitedStore) Now(ctx context.Context) (time.Time, error) { return timed(ctx, s, s.Store.Now) }

func (s limitedStore) Create(ctx context.Context, session Session) error {
	_, err := detached(ctx, s, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.Store.Create(ctx, session)
	})
	return err
}

func (s limitedStore) Refresh(ctx context.Context, p RefreshParams) (RefreshResult, error) {
	return detached(ctx, s, func(ctx context.Context) (RefreshResult, error) { return s.Store.Refresh(ctx, p) })
}

func (s limitedStore) End(ctx context.Context, p EndParams) (Session, error) {
	return detached(ctx, s, func(ctx context.Context) (Session, error) { return s.Store.End(ctx, p) })
}

func (s limitedStore) EndMany(ctx context.Context, p EndManyParams) ([]Session, error) {
	return detached(ctx, s, func(ctx context.Context) ([]Session, error) { return s.Store.EndMany(ctx, p) })
}

func (s limitedStore) EndDependents(ctx context.Context, p EndDependentsParams) ([]Session, error) {
	return detached(ctx, s, func(ctx context.Context) ([]Session, error) { return s.Store.EndDependents(ctx, p) })
}

func (s limitedStore) Redeem(ctx context.Context, p RedeemParams) (Session, error) {
	return detached(ctx, s, func(ctx context.Context) (Session, error) { return s.Store.Redeem(ctx, p) })
}
