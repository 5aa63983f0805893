//go:build !race

package wordtable

const raceDetector = false
