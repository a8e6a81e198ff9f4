package sessions

import (
	"context"
	"time"
)

// How long a call of the store or of a hook may take, and who can cancel it:
//
//   - Each has [Config.StoreTimeout], or what its context allows if that is less.
//     limited sees to it for all of them, in New.
//   - A write begins only under a live context. From then on the caller cannot cancel
//     it, nor what belongs to it: an end without its event, or without what this
//     process remembers of it, would be an alarm that anybody can suppress by hanging
//     up. The store's half of this is detached, the Manager's half is its effects.
//   - A Joined does neither. Its calls have the context of the host's transaction and nothing else: a statement
//     that is cancelled in one takes the connection with it, or rolls back silently, depending on the driver.
//
// Ended and Prune have limits of their own.

// limited returns a copy of c whose store and hooks keep to [Config.StoreTimeout].
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

// limitedStore gives each call of a Store its time.
type limitedStore struct {
	Store
	limit time.Duration
}

// timed is one call, a read.
func timed[T any](ctx context.Context, s limitedStore, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	return call(ctx)
}

// detached is one call, a write.
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
