//go:build !race

package server

const raceDetector = false

// RaceDetector is for the tests outside of the package.
const RaceDetector = raceDetector
