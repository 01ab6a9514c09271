// go-git v5 as a client: clone URL FOLDER, push FOLDER URL.
package main

import (
	"log"
	"os"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
)

func main() {
	log.SetFlags(0)
	var err error
	if os.Args[1] == "clone" {
		_, err = git.PlainClone(os.Args[3], false, &git.CloneOptions{URL: os.Args[2]})
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
