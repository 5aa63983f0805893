//go:build !race

package calm_test

const raceDetector = false
