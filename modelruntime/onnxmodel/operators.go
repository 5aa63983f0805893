package onnxmodel

import "maps"

// operators are all that is read.
var operators = func() map[operator]build {
	all := make(map[operator]build)
	maps.Copy(all, unaryOperators())
	maps.Copy(all, binaryOperators())
	maps.Copy(all, reductions())
	for name, b := range map[string]build{
		"Identity": identity, "Dropout": dropout, "Reshape": reshape, "Flatten": flatten, "Squeeze": squeeze, "Unsqueeze": unsqueeze,
		"Transpose": transpose, "Expand": expand, "Concat": concat, "Split": split, "Slice": slice, "Gather": gather, "Tile": tile,
		"Shape": shapeOf, "Constant": constantNode, "ConstantOfShape": constantOfShape,
		"Cast": cast, "Where": where, "Clip": clip, "PRelu": prelu, "Not": not, "IsNaN": isNaN,
		"MatMul": matMul, "Gemm": gemm,
		"Softmax": softmax(softmaxOf), "LogSoftmax": softmax(logSoftmaxOf), "LayerNormalization": layerNormalization,
		"BatchNormalization": batchNormalization, "ArgMax": argMost(1), "ArgMin": argMost(-1),
	} {
		all[operator{"", name}] = b
	}
	for name, b := range map[string]build{
		"Scaler": scaler, "Normalizer": normalizer, "Imputer": imputer, "Binarizer": binarizer, "FeatureVectorizer": featureVectorizer,
		"LinearRegressor": linearRegressor, "LinearClassifier": linearClassifier, "ArrayFeatureExtractor": arrayFeatureExtractor,
		"LabelEncoder": labelEncoder, "OneHotEncoder": oneHotEncoder, "ZipMap": zipMap,
		"TreeEnsembleRegressor": treeRegressor, "TreeEnsembleClassifier": treeClassifier,
	} {
		all[operator{mlDomain, name}] = b
	}
	return all
}()
