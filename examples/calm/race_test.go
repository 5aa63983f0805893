//go:build race

package calm_test

const raceDetector = true
