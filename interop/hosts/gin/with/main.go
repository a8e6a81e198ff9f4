// Command with is a host on Gin and GORM, with sessile.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"

	"github.com/gin-gonic/gin"
	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/store"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

type user struct {
	ID   string `gorm:"primaryKey"`
	Name string
}

func main() {
	db, errDB := gorm.Open(postgres.Open(os.Getenv("DATABASE_URL")))
	st, errStore := store.New(db, store.Config{})
	manager, err := sessions.New(sessions.Config{
		Store: st,
		Users: func(ctx context.Context, id string) (sessions.User, error) {
			var u user
			err := db.WithContext(ctx).First(&u, "id = ?", id).Error
			if errors.Is(err, gorm.ErrRecordNotFound) {
				err = sessions.ErrUserNotFound
			}
			return sessions.User{ID: u.ID, Name: u.Name}, err
		},
		Secrets: [][]byte{[]byte(os.Getenv("SESSILE_SECRET"))},
		Issuer:  "https://app.example", Audience: "app",
	})
	if err = errors.Join(errDB, errStore, err); err == nil {
		err = st.Migrate(context.Background())
	}
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(manager.Run(context.Background())) }()
	r := gin.New()
	r.Any("/auth/*path", gin.WrapH(sessions.NewHandler(manager)))
	r.GET("/me", func(c *gin.Context) {
		middleware.Require(manager)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c.Request = r
			id, _ := sessions.FromContext(r.Context())
			c.String(http.StatusOK, "hello "+id.UserID+"\n")
		})).ServeHTTP(c.Writer, c.Request)
	})
	log.Fatal(r.Run("127.0.0.1:8080"))
}
