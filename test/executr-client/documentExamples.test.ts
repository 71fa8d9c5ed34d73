import { describeClientExamples } from "../docs/clientExamples.ts";

describeClientExamples("docs/executr-client.md", "serve");
