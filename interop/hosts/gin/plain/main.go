// Command plain is a host on Gin and GORM, without sessile.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/gin-gonic/gin"
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
	r := gin.New()
	r.GET("/me", func(c *gin.Context) {
		var u user
		if err := db.WithContext(c.Request.Context()).First(&u, "id = ?", "ada").Error; err != nil {
			_ = c.AbortWithError(http.StatusInternalServerError, err)
			return
		}
		c.String(http.StatusOK, "hello "+u.Name+"\n")
	})
	log.Fatal(r.Run("127.0.0.1:8080"))
}
