// Prints what kstatus says about Kubernetes objects: one JSON object per line in, one verdict per
// line out, as {"status": ..., "message": ...} or {"error": ...}.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The largest object, in bytes: what an API server stores of one.
const objectBytesMax = 2 << 20

type verdict struct {
	Status  status.Status `json:"status,omitempty"`
	Message string        `json:"message,omitempty"`
	Error   string        `json:"error,omitempty"`
}

func main() {
	if err := answer(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}

func answer(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, objectBytesMax)
	verdicts := json.NewEncoder(out)
	for lines.Scan() {
		if err := verdicts.Encode(judge(lines.Bytes())); err != nil {
			return err
		}
	}
	return lines.Err()
}

func judge(line []byte) verdict {
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(line); err != nil {
		return verdict{Error: err.Error()}
	}
	result, err := status.Compute(object)
	if err != nil {
		return verdict{Error: err.Error()}
	}
	return verdict{Status: result.Status, Message: result.Message}
}
