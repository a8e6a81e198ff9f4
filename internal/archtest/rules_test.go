package archtest

import "slices"

// A rule says what some packages, or some files of them, may use. It covers test files
// only if tests is set. An empty field checks nothing.
type rule struct {
	name   string
	reason string // what breaks without the rule; printed with every violation

	in     []string // package patterns that the rule is about
	but    []string // package patterns that it is not about
	except []string // base names of files that it is not about, as path.Match has them
	tests  bool     // also about test files

	only      []string // imports that are allowed; no other is
	never     []string // imports that are not allowed
	neverDeps []string // packages that must not be linked in, however far down
	neverUse  []string // names that must not be mentioned, as "time.Now"
}

// Patterns: "./x" is the package in folder x of this module, "std" the whole
// standard library, anything else an import path; "/..." after it takes in all
// that is below.
var (
	// shipping is what a host links into its server.
	shipping = []string{"./sessions", "./store/...", "./middleware/..."}

	drivers = []string{
		"gorm.io/driver/...", "github.com/jackc/...", "github.com/lib/pq/...", "github.com/mattn/go-sqlite3/...",
		"modernc.org/...", "github.com/glebarez/...", "github.com/ncruces/...",
	}

	testLibraries = []string{
		"testing/...", "net/http/httptest", "flag", "gorm.io/gorm/utils/tests",
		"./sessions/storetest", "./sessions/sessionstest", "./internal/...", "./proof/...", "./interop/...",
	}

	foreignTestLibraries = []string{
		"pgregory.net/rapid/...", "github.com/anishathalye/porcupine/...", "github.com/stretchr/...",
		"go.uber.org/goleak/...", "github.com/google/go-cmp/...", "github.com/pb33f/...", "github.com/getkin/...",
	}

	// required are the direct requirements of the root's go.mod.
	required = []string{
		"github.com/google/uuid",
		"github.com/jackc/pgx/v5", // comes with GORM's driver; internal/pgtest uses it
		"github.com/labstack/echo/v4",
		"github.com/mattn/go-sqlite3", // comes with GORM's driver, which pins an old one
		"gorm.io/driver/postgres",
		"gorm.io/driver/sqlite",
		"gorm.io/gorm",
	}

	echo = []string{"github.com/labstack/..."}
)

// rules are the arrows of the house. docs/development.md shows them to people;
// this table is what holds.
var rules = []rule{
	// Who may import whom.
	{
		name:   "sessions stands on std and google/uuid",
		reason: "the domain is what every host links: each module here is one more for all of them to trust and update",
		in:     []string{"./sessions"},
		only:   []string{"std", "github.com/google/uuid"},
	},
	{
		name:   "store stands on sessions and GORM",
		reason: "any *gorm.DB works because nothing here knows a driver; HTTP is not the store's business",
		in:     []string{"./store"},
		only:   []string{"std", "./sessions", "./store/internal/core", "gorm.io/gorm/..."},
		never:  []string{"net/http/..."},
	},
	{
		name:   "store/sqlstore stands on sessions",
		reason: "it is the store for hosts without GORM; HTTP is not the store's business",
		in:     []string{"./store/sqlstore"},
		only:   []string{"std", "./sessions", "./store/internal/core"},
		never:  []string{"net/http/..."},
	},
	{
		name:   "the core of the store stands on sessions",
		reason: "it is what every face of the store links: a host without GORM must not get it from here",
		in:     []string{"./store/internal/core"},
		only:   []string{"std", "./sessions", "github.com/google/uuid"},
		never:  []string{"net/http/..."},
	},
	{
		name:   "middleware stands on sessions",
		reason: "a host on net/http alone must not link a router or a database layer",
		in:     []string{"./middleware"},
		only:   []string{"std", "./sessions"},
	},
	{
		name:   "middleware/echov4 stands on sessions and Echo v4",
		reason: "one third-party library, one package: a host on another version of Echo must not link this one",
		in:     []string{"./middleware/echov4"},
		only:   []string{"std", "./sessions", "./middleware", "github.com/labstack/echo/v4/..."},
	},
	{
		name:   "middleware/echov5 stands on sessions and Echo v5",
		reason: "one third-party library, one package: a host on another version of Echo must not link this one",
		in:     []string{"./middleware/echov5"},
		only:   []string{"std", "./sessions", "./middleware", "github.com/labstack/echo/v5/..."},
	},
	{
		name: "the test kits stand on sessions",
		reason: "authors of other stores and hosts import them in their tests; they must not get our store, our " +
			"drivers or our test libraries with them",
		in:   []string{"./sessions/storetest", "./sessions/sessionstest"},
		only: []string{"std", "./sessions", "./sessions/sessionstest", "github.com/google/uuid"},
	},
	{
		name: "the contract of the adapters knows no router",
		reason: "it runs in the tests of every adapter, those of interop too: what one framework needs would be " +
			"linked, and believed, everywhere",
		in:   []string{"./internal/middlewaretest"},
		only: []string{"std", "./sessions", "./sessions/sessionstest"},
	},
	{
		name:      "store never meets middleware",
		reason:    "a host picks each by itself; they know each other only through the interfaces of sessions",
		in:        []string{"./store/..."},
		neverDeps: []string{"./middleware/..."},
	},
	{
		name:      "middleware never meets store",
		reason:    "a host picks each by itself; they know each other only through the interfaces of sessions",
		in:        []string{"./middleware/..."},
		neverDeps: []string{"./store/...", "gorm.io/..."},
	},
	{
		name:   "Echo only in its adapter and the examples",
		reason: "everything else must work, and be tested, without it",
		in:     []string{"./..."},
		but:    []string{"./middleware/echov4", "./middleware/echov5", "./examples/...", "./interop/..."},
		tests:  true,
		never:  echo,
	},
	{
		name:   "drivers only in tests and examples",
		reason: "the host chooses its driver; some need cgo, and two of one kind in a binary register one name twice",
		in:     []string{"./..."},
		but:    []string{"./examples/...", "./internal/...", "./interop/..."},
		never:  drivers,
	},
	{
		name:      "no driver linked into what ships",
		reason:    "an import further down links a driver as surely as one of ours",
		in:        shipping,
		neverDeps: drivers,
	},
	{
		name:      "no test library linked into what ships",
		reason:    "package testing and its friends add flags and weight to the host's server",
		in:        shipping,
		neverDeps: slices.Concat(testLibraries, foreignTestLibraries),
	},
	{
		name: "test libraries only in modules of their own",
		reason: "a host's module graph lists what the root's go.mod requires, and takes its versions of what the " +
			"host requires, too",
		in:    []string{"./..."},
		but:   []string{"./proof/...", "./interop/..."},
		tests: true,
		never: foreignTestLibraries,
	},
	{
		name:   "nobody imports the examples",
		reason: "they are programs to read; what two of them need belongs in a package",
		in:     []string{"./..."},
		but:    []string{"./examples/..."},
		tests:  true,
		never:  []string{"./examples/..."},
	},

	// Inside sessions a file is a unit of dependency too.
	{
		name:   "net/http only in http*.go, cookie*.go and the fields of Config",
		reason: "the domain decides, HTTP only carries: what is tested without a request holds for every transport",
		in:     []string{"./sessions"},
		except: []string{"http*.go", "cookie*.go", "config.go"},
		never:  []string{"net/http/..."},
	},
	{
		name:   "signing only in access_token.go and secret.go",
		reason: "a reviewer of the cryptography must be done after two files",
		in:     []string{"./sessions"},
		except: []string{"access_token.go", "secret.go"},
		never:  []string{"crypto/ecdsa", "crypto/elliptic", "encoding/asn1"},
	},
	{
		name:     "the clock is read in sessions/config.go only",
		reason:   "time is an argument: tests need no sleeping, replicas and zones cannot disagree inside one decision",
		in:       shipping,
		but:      []string{"./sessions"},
		neverUse: clock,
	},
	{
		name:     "in sessions the clock is read in config.go only",
		reason:   "time is an argument: tests need no sleeping, replicas and zones cannot disagree inside one decision",
		in:       []string{"./sessions"},
		except:   []string{"config.go"},
		neverUse: clock,
	},
	{
		name: "no math/rand and no log in what ships",
		reason: "math/rand is guessable, and package log writes to the host's standard error without asking; use " +
			"crypto/rand and the *slog.Logger of the config",
		in:    shipping,
		never: []string{"math/rand", "log"},
	},
	{
		name:   "what ships reads no environment and prints nothing",
		reason: "the one config literal shows every setting, and standard output is the host's",
		in:     shipping,
		neverUse: []string{
			"os.Getenv", "os.LookupEnv", "os.Environ", "os.Stdout", "os.Stderr", "fmt.Print", "fmt.Printf",
			"fmt.Println",
		},
	},
}

var clock = []string{"time.Now", "time.Since", "time.Until"}

// rooms are the folders of the house. A new one is a decision: say what it is
// here and in docs/development.md, and give its package a rule above. Folders
// whose name begins with a dot, testdata and what is not of this repository
// (node_modules, bin) need no entry.
var rooms = []string{
	".",
	"sessions", "sessions/storetest", "sessions/sessionstest",
	"store", "store/sqlstore", "store/internal/core", "store/internal/core/migrations/...",
	"middleware", "middleware/echov4", "middleware/echov5",
	"examples/...",
	"internal", "internal/archtest", "internal/docs", "internal/pgtest", "internal/explorer",
	"internal/middlewaretest",
	"proof", "proof/httpapi", "interop/...", "tools",
	"docs/...",
}
