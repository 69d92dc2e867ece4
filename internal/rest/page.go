package rest

import (
	"embed"
	"net/http"
	"strings"
)

// page is where people try the API. It needs nothing from elsewhere.
//
//go:embed page
var page embed.FS

// servePage answers with a file of the page. It shows nothing that is worth a key.
func servePage(file string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		if strings.HasSuffix(file, ".js") {
			w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		}
		http.ServeFileFS(w, r, page, "page/"+file)
	}
}
