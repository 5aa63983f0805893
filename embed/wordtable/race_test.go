//go:build race

package wordtable

const raceDetector = true
