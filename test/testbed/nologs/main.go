// Command nologs plays the part of a kubelet that hands out logs: every log is empty, and
// ends at once. The fake node of the test bed names it as its kubelet.
//
// usage: nologs 127.0.0.1:PORT CERTIFICATE KEY
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: nologs 127.0.0.1:PORT CERTIFICATE KEY")
		os.Exit(2)
	}
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	fmt.Fprintln(os.Stderr, http.ListenAndServeTLS(os.Args[1], os.Args[2], os.Args[3], nothing))
	os.Exit(1)
}
