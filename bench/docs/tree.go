package main

import (
	"bytes"
	"fmt"
	"go/build"
	"hash/crc32"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// writeTree makes a documentation site of the standard library's source: a page
// and a picture for each folder, one style sheet and one script for all, and the
// source files themselves.
func writeTree(dst string) error {
	src := filepath.Join(build.Default.GOROOT, "src")
	files := 0
	write := func(name string, data []byte) error {
		files++
		name = filepath.Join(dst, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		return os.WriteFile(name, data, 0o644)
	}
	if err := write("site.css", []byte(style)); err != nil {
		return err
	}
	if err := write("site.js", []byte(script)); err != nil {
		return err
	}
	err := filepath.WalkDir(src, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, name)
		if err != nil {
			return err
		}
		if !d.IsDir() {
			if filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				return nil
			}
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			return write(rel, data)
		}
		if d.Name() == "testdata" {
			return fs.SkipDir
		}
		picture, err := paint(rel)
		if err != nil {
			return err
		}
		if err := write(filepath.Join(rel, "picture.png"), picture); err != nil {
			return err
		}
		page, err := describe(name, rel)
		if err != nil {
			return err
		}
		return write(filepath.Join(rel, "index.html"), page)
	})
	fmt.Printf("%d files\n", files)
	return err
}

// describe makes the page of a folder.
func describe(folder, rel string) ([]byte, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	data := struct{ Title, Top, About, Names any }{Title: rel, Top: strings.Repeat("../", depth(rel))}
	var names []string
	for _, e := range entries {
		switch {
		case e.Name() == "testdata" || strings.HasSuffix(e.Name(), "_test.go"):
		case e.IsDir():
			names = append(names, e.Name()+"/")
		case filepath.Ext(e.Name()) == ".go":
			names = append(names, e.Name())
		}
	}
	data.Names = names
	// A folder without Go files for this platform has no package to describe.
	if pkg, err := build.ImportDir(folder, 0); err == nil {
		data.About = pkg.Doc
	}
	var b bytes.Buffer
	if err := page.Execute(&b, data); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func depth(rel string) int {
	if rel == "." {
		return 0
	}
	return strings.Count(rel, string(filepath.Separator)) + 1
}

// paint makes a picture that differs from folder to folder.
func paint(rel string) ([]byte, error) {
	sum := crc32.ChecksumIEEE([]byte(rel))
	img := image.NewRGBA(image.Rect(0, 0, 64, 48))
	for y := range 48 {
		for x := range 64 {
			n := sum ^ uint32(x*y)*2654435761
			img.Set(x, y, color.RGBA{uint8(n), uint8(n >> 8), uint8(n >> 16), 255})
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title>
<link rel="stylesheet" href="{{.Top}}site.css"><script src="{{.Top}}site.js"></script></head>
<body><h1>{{.Title}}</h1><img id="picture" src="picture.png" alt=""><p>{{.About}}</p>
<ul>{{range .Names}}<li><a href="{{.}}">{{.}}</a></li>
{{end}}</ul><p id="proof">not loaded</p></body></html>
`))

const style = `body { font: 16px/1.5 serif; margin: 2rem }
h1 { color: rgb(1, 2, 3) }
`

// The script writes into the page what only a browser that got the picture and
// the style sheet can know.
const script = `addEventListener("load", () => {
	const picture = document.getElementById("picture")
	const color = getComputedStyle(document.querySelector("h1")).color
	document.getElementById("proof").textContent = "picture " + picture.naturalWidth + "x" + picture.naturalHeight + ", style " + color
})
`
