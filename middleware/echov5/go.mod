module github.com/sessile-go/sessile/middleware/echov5

go 1.25.0

replace github.com/sessile-go/sessile => ../../

require (
	github.com/labstack/echo/v5 v5.4.4
	github.com/sessile-go/sessile v0.0.0
)

require (
	github.com/google/uuid v1.6.0 // indirect
	golang.org/x/time v0.15.0 // indirect
)
