import { describeClientExamples } from "../docs/clientExamples.ts";

describeClientExamples("docs/shelbycompute-client.md", "up");
