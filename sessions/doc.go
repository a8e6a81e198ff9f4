// Package sessions adds auth sessions to an app that already has users. The app decides
// who somebody is. This package keeps the session: it gives out a refresh token and an
// access token, refreshes, verifies, lists and ends.
//
// [New] makes a [Manager] from a [Config], and [Manager.Run] does the upkeep:
//
//	manager, err := sessions.New(sessions.Config{
//		Store:    st,       // package store, on your *gorm.DB
//		Users:    findUser, // looks up one of your users by id
//		Secrets:  secrets,  // 32 random bytes or more, from your environment
//		Issuer:   "https://app.example",
//		Audience: "app",
//	})
//	if err != nil {
//		return err // every fault of the Config, joined
//	}
//	go func() { log.Fatal(manager.Run(context.Background())) }() // returns only if the clock is wrong
//
// After the app has checked a password, or whatever it checks, [Manager.Create] signs the
// user in. [Manager.WriteGrant] answers with the tokens as JSON, [Manager.SetCookies] puts
// them into cookies:
//
//	grant, err := manager.Create(ctx, sessions.CreateParams{UserID: userID, Client: manager.RequestClient(r)})
//
// Routes are protected by package middleware, and [NewHandler] serves the HTTP API:
//
//	mux.Handle("GET /me", middleware.Require(manager)(me)) // me calls sessions.FromContext
//	sessions.NewHandler(manager).Register(mux, "")         // refresh, list, end, sign out; the JWK set
//
// # What to look for
//
//   - Sessions: [Manager.Create], [Manager.Refresh], [Manager.Verify], [Manager.Check],
//     [Manager.Get], [Manager.List], [Manager.End], [Manager.EndMany]. Call EndMany when a
//     password changes or a user is deleted.
//   - Pages where users see and end their own sessions: [Manager.ListOwn],
//     [Manager.EndOwn], [Manager.EndOthers], [Manager.SignOut].
//   - Browsers: [Cookies], [Manager.SetCookies], [Manager.SignOutBrowser].
//   - Trusted callers: [NewServerKey], [HashServerKey], [Config].ServerKeys.
//   - Impersonation: [Impersonation], [Config].MayImpersonate, [Manager.Impersonate].
//   - Fresh authentication for risky routes: [Manager.Reauthenticate].
//   - Connections that stay open: [Manager.Watch].
//   - How soon a route refuses an ended session: [Revocation], [RevocationBound].
//   - A transaction of the host: [Manager.Join].
//   - Integer user ids: [IntUsers], [IntID], [Identity.IntID].
//   - Operations: [Manager.Run], [Manager.Health], [Event].
//   - Errors form a tree, see [ErrUnauthenticated]: use errors.Is.
//
// # What is promised
//
// Neither concurrent refreshes nor lost replies sign a user out. If two holders of one
// session both keep coming back, they are detected; docs/refresh.md has the protocol and
// its limits. Nothing in the database can be used as a token or as a key. An ended session
// is never refreshed again. Its access tokens are refused at once by the endpoints of this
// package and by the process that ended it. The [Revocation] of each route of the host
// says when the route refuses them: at once, within [RevocationBound], or when they
// expire, after 10 minutes by default. Nothing is written before everything is checked,
// and nothing is answered before it is committed.
//
// # What is not promised
//
// The package does not know passwords, sign anybody in by itself, or keep users. It does
// not limit rates, set CORS headers, or bind tokens to a key of the sender. A thief who
// holds the newest refresh token of a user, and uses it within [Rotation].Overlap of each
// refresh of that user, is not noticed.
//
// # For authors of middleware
//
// The middleware packages use only what is exported here. [Manager.Admit] decides who may
// pass by a [Need] and a [Revocation], and refreshes cookies; [Manager.Authenticate] only
// decides. [GuardImpersonation], [GuardReadOnly] and [GuardRecent] decide about a request
// that has passed. [NewAPIError] and [APIError.SetHeader] make the refusal, and [WriteError]
// writes it. [Handler.Routes] lists the routes for a router of another kind. [NewContext]
// serves tests of handlers.
//
// # For authors of stores
//
// [Store] is the contract, and sessions/storetest holds a store to it. Its methods take
// [RefreshParams], [ListParams], [EndParams], [EndManyParams], [EndDependentsParams],
// [RedeemParams] and [PruneParams]. [Session.Live] judges a row at a [Moment], and
// [Rotation.Next] is the refresh protocol: from a [RefreshState] and a counter to the next
// RefreshState and an [Outcome]. A new row starts with [NewRefreshState].
package sessions
