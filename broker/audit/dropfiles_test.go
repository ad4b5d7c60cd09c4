package audit

import "github.com/pgsignet/pgsignet/testenv/dropfs"

// onDisk is a test's disk as Files.
type onDisk struct{ *dropfs.Disk }

func (d onDisk) Create(path string) (File, error) {
	f, err := d.Disk.Create(path)
	if err != nil {
		return nil, err
	}
	return f, nil
}
