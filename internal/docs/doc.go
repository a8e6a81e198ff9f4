// Package docs holds README.md and the pages of docs/ to the code: every block of Go or
// JavaScript on a page is an excerpt of a file of this repository that is compiled, and
// every relative link leads somewhere. The code of the pages that stands nowhere else is
// in the tests of this package, and runs there.
package docs
