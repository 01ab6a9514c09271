// go-git v6 as a client: clone URL FOLDER, push FOLDER URL; and as a server: serve ROOT PORT.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/go-git/go-billy/v6/osfs"
	git "github.com/go-git/go-git/v6"
	"github.com/go-git/go-git/v6/backend"
	"github.com/go-git/go-git/v6/config"
	"github.com/go-git/go-git/v6/plumbing/transport"
)

func main() {
	log.SetFlags(0)
	var err error
	if os.Args[1] == "serve" {
		loader := transport.NewFilesystemLoader(osfs.New(os.Args[2]), false)
		err = http.ListenAndServe("127.0.0.1:"+os.Args[3], backend.New(loader))
	} else if os.Args[1] == "clone" {
		_, err = git.PlainClone(os.Args[3], &git.CloneOptions{URL: os.Args[2]})
	} else {
		var r *git.Repository
		if r, err = git.PlainOpen(os.Args[2]); err == nil {
			r.CreateRemote(&config.RemoteConfig{Name: "node", URLs: []string{os.Args[3]}})
			err = r.Push(&git.PushOptions{RemoteName: "node",
				RefSpecs: []config.RefSpec{"refs/heads/main:refs/heads/main"}})
		}
	}
	if err != nil {
		log.Fatal(err)
	}
}
