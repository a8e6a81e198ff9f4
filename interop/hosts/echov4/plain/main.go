// Command plain is a host on Echo v4 and GORM, without sessile.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/labstack/echo/v4"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

type user struct {
	ID   string `gorm:"primaryKey"`
	Name string
}

func main() {
	db, err := gorm.Open(postgres.Open(os.Getenv("DATABASE_URL")))
	if err != nil {
		log.Fatal(err)
	}
	e := echo.New()
	e.GET("/me", func(c echo.Context) error {
		var u user
		if err := db.WithContext(c.Request().Context()).First(&u, "id = ?", "ada").Error; err != nil {
			return err
		}
		return c.String(http.StatusOK, "hello "+u.Name+"\n")
	})
	log.Fatal(e.Start("127.0.0.1:8080"))
}
