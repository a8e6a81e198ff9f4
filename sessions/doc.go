// Package sessions gives an app that already has users its auth sessions: a
// trusted caller names a user and gets a refresh token and an access token, to
// sign that user in or to impersonate them.
//
// Start with [New], which makes a [Manager] of a [Config], and [NewHandler], which
// serves its HTTP API:
//
//	manager, err := sessions.New(sessions.Config{
//		Store:      st,        // package store, over your *gorm.DB
//		Users:      findUser,  // your users, by id
//		Secrets:    secrets,   // 32 random bytes or more, from your environment
//		Issuer:     "https://app.example",
//		Audience:   "app",
//		ServerKeys: []sessions.ServerKey{backend}, // see HashServerKey
//	})
//	if err != nil {
//		return err // every fault of the config, joined
//	}
//	mux := http.NewServeMux()
//	sessions.NewHandler(manager).Register(mux, "")
//	mux.Handle("GET /me", middleware.Require(manager)(me)) // package middleware
//
// In process the same is [Manager.Create], [Manager.Refresh], [Manager.Verify],
// [Manager.List] and [Manager.End]. A handler after the middleware reads who is calling
// with [FromContext]; pages where users see and end their own sessions are made of
// [Manager.ListOwn], [Manager.EndOwn], [Manager.EndOthers] and [Manager.SignOut]. Next to
// the server a host runs [Manager.WatchRevocations], which learns of what other processes
// end; for browsers see [Cookies].
//
// # What is promised
//
// Neither concurrent refreshes nor lost replies sign a user out, and two holders of
// one session who both keep coming back are detected; docs/refresh.md has the
// protocol and its limits. Nothing in the database can be used as a token or as a
// key. An ended session is never refreshed again; its access tokens are refused at
// once by our own endpoints and by the process that ended it, and on the host's routes
// as soon as each one's [Revocation] says: at once, within [RevocationBound], or when
// they expire, after 10 minutes by default. Nothing is written before everything is
// checked, and nothing is answered before it is committed.
//
// # What is not
//
// The package does not know passwords, log anybody in, or keep users: the host
// decides who somebody is. It does not limit rates, set CORS headers or bind tokens
// to a key of the sender. A thief who holds a user's newest refresh token and uses
// it within [Rotation.Overlap] of each of the user's own refreshes is not noticed.
// When the host deletes a user or changes a password it has to call
// [Manager.EndMany].
//
// Import paths: this package needs nothing but the standard library and
// google/uuid. Stores, middlewares and the test kit are packages of their own.
package sessions
