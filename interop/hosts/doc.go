// Package hosts builds small hosts with and without sessile, and holds what they gain by
// it against testdata/hosts.golden: the lines of go list -m all, the modules that are
// linked, and the packages. A host gains what the root's go.mod requires, what those
// modules require themselves, and nothing else.
//
//	go -C interop test ./hosts           compares
//	go -C interop test ./hosts -update   writes the golden file
//	go -C interop test ./hosts -v        shows the sizes of the programs, too
package hosts
